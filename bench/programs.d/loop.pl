# SPDX-License-Identifier: BSD-2-Clause
# loop.pl SIZE: hashes, strings, patterns and sorting.
use strict;
use warnings;

my ($size) = @ARGV;
my (%count, $sum);
my $seed = 12345;
for my $i (1 .. $size) {
	$seed = ($seed * 1103515245 + 12345) % 2147483648;
	my $word = join '', map { chr(97 + ($seed >> $_) % 26) } 3, 8, 13;
	$count{$word}++;
	$sum += length($1) if "$word-$i-$word" =~ /([a-m]+)-\d*7/;
	$word =~ tr/a-z/n-za-m/;
	substr($word, 1, 1) = uc substr($word, 2, 1);
	$sum += ord $word;
}
my @sorted = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print "$sum ", scalar(@sorted), " $_ $count{$_}\n" for @sorted[0 .. 9];
