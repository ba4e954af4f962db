-- The database, and the account that makes its tables.
--
-- "millrace db create" fills in the words between at signs from the
-- configuration; run the result once, as an administrator of the database.

CREATE DATABASE IF NOT EXISTS @database@ CHARACTER SET utf8mb4;

-- The command line: makes tables, adds users.
CREATE USER IF NOT EXISTS @account:admin@ IDENTIFIED BY @password:admin@;
GRANT ALL PRIVILEGES ON @database@.* TO @account:admin@;
