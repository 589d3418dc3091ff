-- mthook on a compute host: the database of its cell.
GRANT SELECT (uuid, display_name, host, node, vm_state, task_state, updated_at, deleted)
    ON nova_cell1.instances TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, action, start_time)
    ON nova_cell1.instance_actions TO 'mthook'@'%';
GRANT SELECT (id, instance_uuid, `key`, value, created_at, updated_at, deleted),
    INSERT (instance_uuid, `key`, value, created_at, deleted),
    UPDATE (value, updated_at),
    DELETE
    ON nova_cell1.instance_system_metadata TO 'mthook'@'%';
