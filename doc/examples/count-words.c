/* Count the words of pages, as count-words.sh does. */
#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* 0, or -1. */
static int
count_words(FILE *in, const char *name)
{
	char	 path[300], part[310];
	FILE	*out;
	int	 n = 0;

	snprintf(path, sizeof(path), "words/%s", name);
	snprintf(part, sizeof(part), "%s.part", path);
	if ((out = fopen(part, "w")) == NULL)
		return -1;
	while (fscanf(in, "%*s") != EOF)
		n++;
	fprintf(out, "%d\n", n);
	/* It may be counted again: what is half done must not look done. */
	if (fflush(out) == EOF || fsync(fileno(out)) == -1) {
		fclose(out);
		return -1;
	}
	return fclose(out) == EOF ? -1 : rename(part, path);
}

int
main(void)
{
	FILE	*say = fdopen(3, "w"), *in;
	char	*line = NULL, *file;
	size_t	 size = 0;

	if (say == NULL)
		return 1;
	mkdir("words", 0755);
	while (getline(&line, &size, stdin) != -1) {
		line[strcspn(line, "\n")] = '\0';
		if ((file = strchr(line, ' ')) != NULL)
			*file++ = '\0';
		if (file == NULL || (in = fopen(file, "r")) == NULL) {
			fprintf(say, "reject %s: there is no file \"%s\"\n",
			    line, file != NULL ? file : "");
		} else {
			if (count_words(in, line) == 0)
				fprintf(say, "done\n");
			else
				fprintf(say, "failed words/%s cannot be "
				    "written\n", line);
			fclose(in);
		}
		fflush(say);
	}
	return 0;
}
