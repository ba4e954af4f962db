/*
 * A stage that forks as fast as it can, for t/fault-stage-bomb.t.  A fork that
 * is refused is asked for again.
 */

#include <signal.h>
#include <unistd.h>

int
main(void)
{
	signal(SIGTERM, SIG_IGN);
	for (;;)
		fork();
}
