-- Items that other daemons take, and tries that are counted for each step.

ALTER TABLE step
	ADD failures SMALLINT UNSIGNED NOT NULL DEFAULT 0,	-- tries that failed
	ADD crashes SMALLINT UNSIGNED NOT NULL DEFAULT 0,	-- or that a signal, or
						-- the loss of a daemon, ended
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

-- Daemons that died while they had the job, as far as one can tell not by it.
ALTER TABLE job
	ADD deaths SMALLINT UNSIGNED NOT NULL DEFAULT 0;
