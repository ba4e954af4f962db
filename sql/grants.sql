-- One account per program, with the rights it needs and no more.
--
-- "millrace db grants" fills in the words between at signs from the
-- configuration; run the result as an administrator of the database, after
-- each "millrace db migrate": a right on a table needs the table.  A site with
-- a single account (no %p in user) needs nothing of it.

-- Who asks?  Each program behind nginx looks that up, and notes the use.  Only
-- auth can read what passwords and refresh tokens are compared with.
CREATE USER IF NOT EXISTS @account:auth@ IDENTIFIED BY @password:auth@;
CREATE USER IF NOT EXISTS @account:upload@ IDENTIFIED BY @password:upload@;
CREATE USER IF NOT EXISTS @account:status@ IDENTIFIED BY @password:status@;
CREATE USER IF NOT EXISTS @account:sse@ IDENTIFIED BY @password:sse@;
GRANT SELECT (id, name, role, version, disabled, created_at)
    ON @database@.user
    TO @account:upload@, @account:status@, @account:sse@;
GRANT SELECT (id, user_id, version, cookie, used_at, idle_s, expires_at,
    ended_at), UPDATE (used_at) ON @database@.login
    TO @account:upload@, @account:status@, @account:sse@;
GRANT SELECT (id, user_id, hash, scopes, used_at, expires_at),
    UPDATE (used_at) ON @database@.token
    TO @account:upload@, @account:status@, @account:sse@;

-- auth: people and their sign-ins.  It makes no administrator of a user.
GRANT SELECT, INSERT (name, password, role), UPDATE (password, version)
    ON @database@.user TO @account:auth@;
GRANT SELECT, INSERT, UPDATE ON @database@.login TO @account:auth@;
GRANT SELECT, INSERT ON @database@.spent TO @account:auth@;
GRANT SELECT, INSERT, UPDATE (used_at), DELETE ON @database@.token
    TO @account:auth@;
GRANT SELECT, INSERT, UPDATE ON @database@.throttle TO @account:auth@;
GRANT SELECT (id, user_id, completed_at) ON @database@.job
    TO @account:auth@;

-- upload: files, and the jobs that are made of them.
GRANT SELECT, INSERT ON @database@.upload TO @account:upload@;
GRANT SELECT, INSERT ON @database@.job TO @account:upload@;
GRANT INSERT ON @database@.event TO @account:upload@;
GRANT SELECT, INSERT, UPDATE ON @database@.tally TO @account:upload@;
GRANT SELECT, INSERT ON @database@.uniq TO @account:upload@;

-- status: what is known of jobs, and cancel, retry, delete.
GRANT SELECT, UPDATE, DELETE ON @database@.job TO @account:status@;
GRANT SELECT, INSERT ON @database@.event TO @account:status@;
GRANT INSERT ON @database@.gone TO @account:status@;
GRANT SELECT, UPDATE, DELETE ON @database@.step TO @account:status@;
GRANT SELECT ON @database@.artifact TO @account:status@;
GRANT SELECT ON @database@.upload TO @account:status@;
GRANT SELECT, DELETE ON @database@.later TO @account:status@;
GRANT SELECT, INSERT, UPDATE ON @database@.tally TO @account:status@;
GRANT SELECT ON @database@.daemon TO @account:status@;
GRANT SELECT ON @database@.schema_step TO @account:status@;

-- sse: jobs and their events, and nothing is changed.
GRANT SELECT ON @database@.job TO @account:sse@;
GRANT SELECT ON @database@.event TO @account:sse@;

-- The daemon: runs jobs, and sweeps what is old.
CREATE USER IF NOT EXISTS @account:millraced@
    IDENTIFIED BY @password:millraced@;
GRANT SELECT, UPDATE, DELETE ON @database@.job TO @account:millraced@;
GRANT SELECT, INSERT, DELETE ON @database@.event TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE, DELETE ON @database@.step
    TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE, DELETE ON @database@.artifact
    TO @account:millraced@;
GRANT SELECT, DELETE ON @database@.upload TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE, DELETE ON @database@.later
    TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE, DELETE ON @database@.daemon
    TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE ON @database@.tally TO @account:millraced@;
GRANT SELECT, INSERT, DELETE ON @database@.gone TO @account:millraced@;
GRANT SELECT, INSERT, UPDATE ON @database@.retention
    TO @account:millraced@;
GRANT SELECT (expires_at), DELETE ON @database@.login
    TO @account:millraced@;
GRANT SELECT (until), DELETE ON @database@.throttle TO @account:millraced@;
GRANT SELECT (created_at), DELETE ON @database@.uniq
    TO @account:millraced@;
GRANT SELECT ON @database@.schema_step TO @account:millraced@;
