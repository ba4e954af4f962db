#!/bin/sh
# Count the words of pages, one page after the other, for a pipeline that has
#
#	stage  split  10  5m            split-pages
#	each   page   90  1m  kept=yes  count-words.sh
#
# where split-pages has named each page and its file: "item page-1 pages/1".

mkdir -p words

# What is run here and reads descriptor 0 would take the next item.
while read -r name file; do
	if [ ! -f "$file" ]; then
		echo "reject $name: there is no file \"$file\"" >&3
		continue
	fi
	# A page may be counted again: what is half done must not look done.
	if wc -w <"$file" >"words/$name.part" &&
	    sync "words/$name.part" &&
	    mv "words/$name.part" "words/$name"; then
		echo "done" >&3
	else
		echo "failed words/$name cannot be written" >&3
	fi
done
