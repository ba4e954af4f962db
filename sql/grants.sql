-- One account per program, with the rights it needs and no more.
--
-- "millrace db grants" fills in @database@, @account:PROGRAM@ and
-- @password:PROGRAM@ from the configuration; run the result as an
-- administrator of the database.  A site with a single account (db_user
-- without %p) does not need it.

CREATE DATABASE IF NOT EXISTS @database@ CHARACTER SET utf8mb4;

CREATE USER IF NOT EXISTS @account:auth@ IDENTIFIED BY @password:auth@;
GRANT SELECT, INSERT, UPDATE, DELETE ON @database@.user TO @account:auth@;
