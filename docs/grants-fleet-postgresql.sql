-- The shared record in PostgreSQL, as the server's administrator. First its owner, who runs "mthook-admin fleet init".
CREATE ROLE "mthook-owner" LOGIN PASSWORD 'PASSWORD';
CREATE DATABASE mthook OWNER "mthook-owner";

-- After "mthook-admin fleet init", in that database: what a host may do.
-- Before PostgreSQL 15, every user could make tables there.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO "mthook-owner";
CREATE ROLE mthook_host;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO mthook_host;
GRANT INSERT, UPDATE, DELETE ON own_hosts TO mthook_host;
GRANT INSERT, DELETE ON own_guests TO mthook_host;
GRANT INSERT, DELETE ON own_machines TO mthook_host;
GRANT INSERT ON own_history TO mthook_host;
GRANT UPDATE (outcome, detail, done_at) ON own_wishes TO mthook_host;
GRANT INSERT ON offers TO mthook_host;

-- What an administrator may do, who sets pins.
CREATE ROLE mthook_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO mthook_admin;
GRANT INSERT, DELETE ON wishes TO mthook_admin;

-- For each host a user of its own.
CREATE ROLE "compute-1" LOGIN PASSWORD 'PASSWORD' IN ROLE mthook_host;

-- For each administrator.
CREATE ROLE "alice" LOGIN PASSWORD 'PASSWORD' IN ROLE mthook_admin;
