-- Items that other daemons take, and tries that are counted for each step.

ALTER TABLE step
	ADD failures SMALLINT UNSIGNED NOT NULL DEFAULT 0,	-- tries that failed
	ADD crashes SMALLINT UNSIGNED NOT NULL DEFAULT 0,	-- or that a signal, or
						-- the loss of a daemon, ended
	ADD due DATETIME(3),			-- it is not tried again before
	-- While it is lent: not in the hands of the daemon that runs the job.
	ADD token BIGINT UNSIGNED,		-- the job's, of the attempt
						-- that lends it
	ADD open TINYINT UNSIGNED,		-- 1: anybody may take it,
						-- 0: it is wanted back
	ADD helper BIGINT UNSIGNED,		-- daemon that has taken it
	ADD said LONGTEXT,			-- JSON: what its program said,
						-- until the lender has read it
	ADD KEY lent (token, job_id),
	ADD KEY offers (open, job_id),
	ADD KEY of_helper (helper);

-- Daemons that died while they had the job, as far as one can tell not by it;
-- and when that was counted last.
ALTER TABLE job
	ADD deaths SMALLINT UNSIGNED NOT NULL DEFAULT 0,
	ADD died_at DATETIME(3);

-- A job that was removed, as long as something of it is left: rows of event,
-- step and artifact, or files.  These tables do not refer to the job, so that
-- it goes at once, however much it leaves behind, and the rest bit by bit.
CREATE TABLE gone (
	job_id	 BINARY(16) NOT NULL PRIMARY KEY,
	token	 BIGINT UNSIGNED NOT NULL,		-- its results bear it
	upload_id BINARY(16),
	at	 DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

ALTER TABLE event DROP FOREIGN KEY event_of_job;

ALTER TABLE step DROP FOREIGN KEY step_of_job;

ALTER TABLE artifact DROP FOREIGN KEY artifact_of_job;

-- How long ended jobs of a pipeline are kept, as the daemons say that know it;
-- others that sweep need not know it.
CREATE TABLE retention (
	pipeline VARCHAR(31) NOT NULL PRIMARY KEY,
	retain_s INT UNSIGNED NOT NULL,
	said_at	 DATETIME(3) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
