-- mthook on an administrator's host or a controller: the API database, which leads to all cells.
GRANT SELECT (id, uuid, name, database_connection)
    ON nova_api.cell_mappings TO 'mthook_admin'@'%';
GRANT SELECT (instance_uuid, cell_id)
    ON nova_api.instance_mappings TO 'mthook_admin'@'%';
GRANT SELECT (host, cell_id)
    ON nova_api.host_mappings TO 'mthook_admin'@'%';
GRANT SELECT (instance_uuid, spec, updated_at),
    UPDATE (spec, updated_at)
    ON nova_api.request_specs TO 'mthook_admin'@'%';

-- Each cell, where its connection in cell_mappings is a template.
GRANT SELECT (uuid, display_name, host, node, vm_state, task_state, image_ref, updated_at, deleted)
    ON nova_cell1.instances TO 'mthook_admin'@'%';
GRANT SELECT (host, hypervisor_hostname, hypervisor_type, deleted)
    ON nova_cell1.compute_nodes TO 'mthook_admin'@'%';
GRANT SELECT (id, instance_uuid, action, start_time, updated_at, message)
    ON nova_cell1.instance_actions TO 'mthook_admin'@'%';
GRANT SELECT (id, instance_uuid, migration_type, source_compute, status, created_at, updated_at, deleted)
    ON nova_cell1.migrations TO 'mthook_admin'@'%';
GRANT SELECT (id, instance_uuid, `key`, value, created_at, updated_at, deleted),
    INSERT (instance_uuid, `key`, value, created_at, updated_at, deleted),
    UPDATE (value, updated_at),
    DELETE
    ON nova_cell1.instance_system_metadata TO 'mthook_admin'@'%';
GRANT SELECT (id, instance_uuid, device_name, disk_bus, updated_at, deleted),
    UPDATE (device_name, disk_bus, updated_at)
    ON nova_cell1.block_device_mapping TO 'mthook_admin'@'%';
GRANT SELECT (instance_uuid, flavor, deleted)
    ON nova_cell1.instance_extra TO 'mthook_admin'@'%';
