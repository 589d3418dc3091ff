-- mthook on a compute host: the database of its cell.
GRANT SELECT (uuid, display_name, host, node, vm_state, task_state, image_ref, updated_at, deleted)
    ON nova_cell1.instances TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, action, start_time, updated_at, message)
    ON nova_cell1.instance_actions TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, migration_type, source_compute, status, created_at, updated_at, deleted)
    ON nova_cell1.migrations TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, `key`, value, created_at, updated_at, deleted),
    INSERT (instance_uuid, `key`, value, created_at, updated_at, deleted),
    UPDATE (value, updated_at),
    DELETE
    ON nova_cell1.instance_system_metadata TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, device_name, disk_bus, updated_at, deleted),
    UPDATE (device_name, disk_bus, updated_at)
    ON nova_cell1.block_device_mapping TO 'mthook'@'%';
GRANT SELECT (instance_uuid, flavor, deleted)
    ON nova_cell1.instance_extra TO 'mthook'@'%';
GRANT SELECT (host, hypervisor_hostname, hypervisor_type, deleted)
    ON nova_cell1.compute_nodes TO 'mthook'@'%';
