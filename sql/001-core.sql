-- Users, logins, files, jobs and what they leave behind.
--
-- All times are UTC, from the database's clock.  Ids of 16 bytes are UUIDs of
-- version 7, made by the programs: they sort by time and cannot be guessed.

-- A person, or the account behind scripts.
CREATE TABLE user (
	id	 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	name	 VARCHAR(190) NOT NULL,
	password VARCHAR(255) NOT NULL,			-- argon2id, as text
	role	 ENUM('user', 'admin') NOT NULL DEFAULT 'user',
	version	 INT UNSIGNED NOT NULL DEFAULT 1,	-- +1: all logins void
	disabled TINYINT UNSIGNED NOT NULL DEFAULT 0,
	created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	UNIQUE KEY by_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

-- One sign-in, on one device.  Secrets are kept as SHA-256.
CREATE TABLE login (
	id	 BINARY(16) NOT NULL PRIMARY KEY,
	user_id	 BIGINT UNSIGNED NOT NULL,
	version	 INT UNSIGNED NOT NULL,			-- of the user, then
	refresh	 BINARY(32) NOT NULL,			-- the token that is good
	rotated_at DATETIME(3),				-- when it became that:
							-- NULL: at sign-in
	cookie	 BINARY(32) NOT NULL,
	address	 VARCHAR(45) NOT NULL DEFAULT '',	-- that signed in
	created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	used_at	 DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	idle_s	 INT UNSIGNED NOT NULL,			-- unused so long: over
	expires_at DATETIME(3) NOT NULL,		-- used or not
	ended_at DATETIME(3),				-- NULL: alive
	UNIQUE KEY by_refresh (refresh),
	UNIQUE KEY by_cookie (cookie),
	KEY of_user (user_id),
	KEY for_the_sweep (expires_at),
	CONSTRAINT login_of_user FOREIGN KEY (user_id)
	    REFERENCES user (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A refresh token that was replaced: seen again, it was stolen.
CREATE TABLE spent (
	refresh	 BINARY(32) NOT NULL PRIMARY KEY,
	login_id BINARY(16) NOT NULL,
	CONSTRAINT spent_by_login FOREIGN KEY (login_id)
	    REFERENCES login (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A long-lived token for scripts, kept as SHA-256.
CREATE TABLE token (
	id	 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	user_id	 BIGINT UNSIGNED NOT NULL,
	name	 VARCHAR(64) NOT NULL,
	hash	 BINARY(32) NOT NULL,
	scopes	 TINYINT UNSIGNED NOT NULL,		-- 1 read 2 write 4 admin
	created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	used_at	 DATETIME(3),
	expires_at DATETIME(3),				-- NULL: never
	UNIQUE KEY by_hash (hash),
	KEY of_user (user_id),
	CONSTRAINT token_of_user FOREIGN KEY (user_id)
	    REFERENCES user (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Tries to sign in, by name and by address, of all hosts together.
CREATE TABLE throttle (
	name	 BINARY(32) NOT NULL PRIMARY KEY,	-- SHA-256 of what is counted
	tries	 INT UNSIGNED NOT NULL,			-- since the last good one
	since	 DATETIME(3) NOT NULL,			-- of the present burst
	until	 DATETIME(3) NOT NULL,			-- no try before this
	KEY for_the_sweep (until)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A file that came in whole.  Its path follows from its id.
CREATE TABLE upload (
	id	 BINARY(16) NOT NULL PRIMARY KEY,
	user_id	 BIGINT UNSIGNED NOT NULL DEFAULT 0,	-- 0: anonymous
	name	 VARCHAR(255) NOT NULL,			-- the client's; display only
	type	 VARCHAR(127) NOT NULL,			-- media type, sniffed
	size	 BIGINT UNSIGNED NOT NULL,		-- bytes
	created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	KEY of_user (user_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One job: all that clients are shown.  The newest row of table event that
-- belongs to it says the same.
CREATE TABLE job (
	id	 BINARY(16) NOT NULL PRIMARY KEY,
	user_id	 BIGINT UNSIGNED NOT NULL DEFAULT 0,	-- 0: anonymous
	address	 VARCHAR(45),				-- of an anonymous client
	pipeline VARCHAR(31) NOT NULL,
	queue	 VARCHAR(31) NOT NULL,
	state	 ENUM('pending', 'running', 'completed', 'failed', 'cancelled',
		     'waiting') NOT NULL,
	ready	 TINYINT UNSIGNED,			-- priority; NULL: not now
	phase	 VARCHAR(31) NOT NULL DEFAULT 'pending',
	stage	 VARCHAR(31) NOT NULL DEFAULT '',	-- last that is not "always"
	stage_progress DECIMAL(5,2) NOT NULL DEFAULT 0,	-- 0..100
	progress DECIMAL(5,2) NOT NULL DEFAULT 0,	-- 0..100, of the whole
	eta_s	 INT UNSIGNED,				-- left; NULL: not known
	items_done INT UNSIGNED NOT NULL DEFAULT 0,
	items_total INT UNSIGNED NOT NULL DEFAULT 0,
	step	 VARCHAR(255) NOT NULL DEFAULT '',	-- what is done, in words
	message	 VARCHAR(1023) NOT NULL DEFAULT '',
	details	 LONGTEXT,				-- JSON object
	attempt	 SMALLINT UNSIGNED NOT NULL DEFAULT 0,	-- runs so far
	crashes	 SMALLINT UNSIGNED NOT NULL DEFAULT 0,
	daemon_id BIGINT UNSIGNED NOT NULL DEFAULT 0,	-- that runs it
	token	 BIGINT UNSIGNED NOT NULL DEFAULT 0,	-- fence of that run
	cancel	 TINYINT UNSIGNED NOT NULL DEFAULT 0,	-- asked for
	seq	 INT UNSIGNED NOT NULL DEFAULT 0,	-- of the last event
	changed_at DATETIME(3) NOT NULL,
	created_at DATETIME(3) NOT NULL,
	started_at DATETIME(3),				-- first run
	completed_at DATETIME(3),			-- of any end
	error_message VARCHAR(1023),
	upload_id BINARY(16),				-- input
	name	 VARCHAR(255) NOT NULL DEFAULT '',	-- of the input
	client_key VARCHAR(255) NOT NULL DEFAULT '',	-- the client's word for it
	params	 LONGTEXT,				-- JSON object: options
	result	 LONGTEXT,				-- JSON object
	output_file VARCHAR(255) NOT NULL DEFAULT '',	-- main result
	KEY ready (queue, ready, id),			-- the claim
	KEY changed (changed_at),			-- the hub's query
	KEY of_user (user_id, id),			-- lists
	KEY by_state (state, id),
	KEY by_pipeline (pipeline, id),
	KEY of_address (address, state),
	KEY of_daemon (daemon_id, state),		-- take-over, cancels
	KEY for_the_sweep (pipeline, completed_at),
	KEY of_upload (upload_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- What clients were shown, 1..n for each job without a gap.  Append only.
CREATE TABLE event (
	job_id	 BINARY(16) NOT NULL,
	seq	 INT UNSIGNED NOT NULL,
	at	 DATETIME(3) NOT NULL,
	state	 ENUM('pending', 'running', 'completed', 'failed', 'cancelled',
		     'waiting') NOT NULL,
	phase	 VARCHAR(31) NOT NULL,
	stage	 VARCHAR(31) NOT NULL,
	stage_progress DECIMAL(5,2) NOT NULL,
	progress DECIMAL(5,2) NOT NULL,
	eta_s	 INT UNSIGNED,
	items_done INT UNSIGNED NOT NULL,
	items_total INT UNSIGNED NOT NULL,
	step	 VARCHAR(255) NOT NULL,
	message	 VARCHAR(1023) NOT NULL,
	details	 LONGTEXT,
	started_at DATETIME(3),				-- of the job, as it was
	PRIMARY KEY (job_id, seq),
	CONSTRAINT event_of_job FOREIGN KEY (job_id)
	    REFERENCES job (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One stage of one job; of an "each" stage, one item.
CREATE TABLE step (
	job_id	 BINARY(16) NOT NULL,
	position SMALLINT UNSIGNED NOT NULL,		-- in the pipeline, from 0
	item	 VARCHAR(255) COLLATE utf8mb4_bin NOT NULL
		     DEFAULT '',			-- '' but for "each"
	stage	 VARCHAR(31) NOT NULL,			-- as in the pipeline
	args	 VARCHAR(1023) NOT NULL DEFAULT '',	-- of the item
	state	 ENUM('waiting', 'running', 'done', 'failed') NOT NULL
		     DEFAULT 'waiting',
	percent	 DECIMAL(5,2) NOT NULL DEFAULT 0,	-- 0..100
	attempt	 SMALLINT UNSIGNED NOT NULL DEFAULT 0,
	started_at DATETIME(3),
	ended_at DATETIME(3),				-- NULL: not yet
	exit_status INT,				-- as of wait(2)
	output	 TEXT,					-- last lines of its log
	PRIMARY KEY (job_id, position, item),
	CONSTRAINT step_of_job FOREIGN KEY (job_id)
	    REFERENCES job (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A result that may be fetched.
CREATE TABLE artifact (
	job_id	 BINARY(16) NOT NULL,
	position INT UNSIGNED NOT NULL,			-- 0: the main one
	name	 VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,	-- as in the URL
	path	 VARCHAR(511) NOT NULL,			-- below the storage root
	type	 VARCHAR(127) NOT NULL DEFAULT '',
	size	 BIGINT UNSIGNED NOT NULL,		-- bytes
	sha256	 CHAR(64) NOT NULL,
	PRIMARY KEY (job_id, position),
	UNIQUE KEY by_name (job_id, name),
	CONSTRAINT artifact_of_job FOREIGN KEY (job_id)
	    REFERENCES job (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- A job that may not be claimed before a time.
CREATE TABLE later (
	job_id	 BINARY(16) NOT NULL PRIMARY KEY,
	due	 DATETIME(3) NOT NULL,
	KEY by_time (due),
	CONSTRAINT later_of_job FOREIGN KEY (job_id)
	    REFERENCES job (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One start of a daemon.  It lives while its lease lasts.
CREATE TABLE daemon (
	id	 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	instance VARCHAR(255) NOT NULL,			-- host and storage root
	host	 VARCHAR(255) NOT NULL,
	pid	 INT UNSIGNED NOT NULL,
	version	 VARCHAR(31) NOT NULL,
	queues	 VARCHAR(255) NOT NULL,
	slots	 INT UNSIGNED NOT NULL,
	running	 INT UNSIGNED NOT NULL DEFAULT 0,
	started_at DATETIME(3) NOT NULL,
	seen_at	 DATETIME(3) NOT NULL,
	lease_until DATETIME(3) NOT NULL,
	KEY of_instance (instance)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Jobs by pipeline and state, maintained with each change of a state, so that
-- no page ever counts.  Each process adds to a slot of its own, lest all
-- transactions wait for one row; a count is the sum over the slots.
CREATE TABLE tally (
	pipeline VARCHAR(31) NOT NULL,
	state	 ENUM('pending', 'running', 'completed', 'failed', 'cancelled',
		     'waiting') NOT NULL,
	n	 BIGINT NOT NULL DEFAULT 0,		-- there now
	total	 BIGINT UNSIGNED NOT NULL DEFAULT 0,	-- that ever came here
	slot	 TINYINT UNSIGNED NOT NULL,
	PRIMARY KEY (pipeline, state, slot)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The answer that was given to a request with an Idempotency-Key.
CREATE TABLE uniq (
	user_id	 BIGINT UNSIGNED NOT NULL,
	name	 VARBINARY(255) NOT NULL,		-- the key
	request	 BINARY(32) NOT NULL,			-- SHA-256 of what was asked
	job_id	 BINARY(16) NOT NULL,
	created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	PRIMARY KEY (user_id, name),
	KEY for_the_sweep (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
