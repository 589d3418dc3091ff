-- The shared record in MariaDB or MySQL, as the server's administrator. First its owner, who runs "mthook-admin fleet init".
CREATE DATABASE mthook CHARACTER SET utf8mb4;
CREATE USER 'mthook-owner'@'10.0.0.%' IDENTIFIED BY 'PASSWORD';
GRANT ALL ON mthook.* TO 'mthook-owner'@'10.0.0.%';

-- After "mthook-admin fleet init": what a host may do.
CREATE ROLE mthook_host;
GRANT SELECT ON mthook.* TO mthook_host;
GRANT INSERT, UPDATE, DELETE ON mthook.own_hosts TO mthook_host;
GRANT INSERT, DELETE ON mthook.own_guests TO mthook_host;
GRANT INSERT, DELETE ON mthook.own_machines TO mthook_host;
GRANT INSERT ON mthook.own_history TO mthook_host;
GRANT UPDATE (outcome, detail, done_at) ON mthook.own_wishes TO mthook_host;
GRANT INSERT ON mthook.offers TO mthook_host;

-- What an administrator may do, who sets pins.
CREATE ROLE mthook_admin;
GRANT SELECT ON mthook.* TO mthook_admin;
GRANT INSERT, DELETE ON mthook.wishes TO mthook_admin;

-- For each host a user of its own.
CREATE USER 'compute-1'@'10.0.0.%' IDENTIFIED BY 'PASSWORD';
GRANT mthook_host TO 'compute-1'@'10.0.0.%';
SET DEFAULT ROLE mthook_host FOR 'compute-1'@'10.0.0.%';

-- For each administrator.
CREATE USER 'alice'@'10.0.0.%' IDENTIFIED BY 'PASSWORD';
GRANT mthook_admin TO 'alice'@'10.0.0.%';
SET DEFAULT ROLE mthook_admin FOR 'alice'@'10.0.0.%';
