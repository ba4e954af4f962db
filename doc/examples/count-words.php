#!/usr/bin/env php
<?php
// Count the words of pages, as count-words.sh does.

function count_words(string $from, string $to): bool
{
	$n = preg_match_all('/\S+/', file_get_contents($from));
	// A page may be counted again: what is half done must not look done.
	return ($out = fopen("$to.part", 'w')) && fwrite($out, "$n\n") &&
	    fsync($out) && fclose($out) && rename("$to.part", $to);
}

$say = fopen('php://fd/3', 'w');
@mkdir('words');
while (($line = fgets(STDIN)) !== false) {
	[$name, $file] = explode(' ', rtrim($line, "\n"), 2) + ['', ''];
	if (!is_file($file))
		fwrite($say, "reject $name: there is no file \"$file\"\n");
	elseif (count_words($file, "words/$name"))
		fwrite($say, "done\n");
	else
		fwrite($say, "failed words/$name cannot be written\n");
}
