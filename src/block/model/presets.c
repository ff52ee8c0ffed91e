/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/model.h"

/*
 * Drives that one can buy or could. What a source doesn't say is estimated and said to be.
 *
 * Rotating disks have their own span, so that a smaller disk of a guest is their first part; flash
 * is as large as the disk that it is for, with the spare part of the drive.
 */
const struct drive_preset drive_presets[] = {
	{
		.name = "cheetah-15k4-73",
		.summary = "Seagate Cheetah 15K.4, 73 GB, 15,000 rpm, Ultra320 SCSI (2004)",
		.text = "disk:span=143374744:rotation=4ms:heads=4:zones=16:outer=825:inner=498:"
			"seek-single=0.2ms:seek-average=3.5ms:seek-full=7.4ms:write-settle=0.5ms:"
			"head-switch=0.4ms:overhead=200us:bus=1.6us:depth=64:segments=64:"
			"sectors=221:prefetch=64:write-cache=off",
		.source = "Cheetah 15K.4 SCSI product manual (Seagate 100220456): size, rotation, "
			  "seeks 0.2/3.5/7.4 ms, writes 0.5 ms more, 58 to 96 MB/s (sectors per "
			  "track follow), heads, 8 MB cache; as divided by Jones 2010 (64 "
			  "segments of 221, read-ahead 64). Overhead: difference in the table of "
			  "the Savvio 10K.4 manual. Estimated: head switch, zones, write cache off",
	},
	{
		.name = "cheetah-15k4-73-linear",
		.summary = "the same disk as the linear model of Jones 2010 has it, with its cache",
		.text = "linear:span=143374744:rotation=4ms:seek=7.4ms:cache=on:segments=64:"
			"sectors=221:prefetch=64:hit=200us",
		.source = "Cheetah 15K.4 SCSI product manual (Seagate 100220456): size, rotation, "
			  "full stroke; cache as Jones 2010. Estimated: time of a hit",
	},
	{
		.name = "deskstar-7k1000c-1tb",
		.summary = "Hitachi Deskstar 7K1000.C, 1 TB, 7,200 rpm, SATA (2010)",
		.text = "disk:span=1953525168:rotation=8.333333ms:heads=4:zones=24:outer=2400:"
			"inner=1200:seek-single=1ms:seek-average=8.5ms:seek-full=18ms:"
			"write-settle=1ms:head-switch=1ms:overhead=200us:bus=1.707us:depth=32:"
			"segments=32:sectors=1024:prefetch=512:write-cache=on:buffer=16K",
		.source = "Deskstar 7K1000.C specification (Hitachi), 4.5.2: seeks of the model "
			  "with two disks, 8.5 ms to read and 9.5 ms to write on average; size, "
			  "rotation, 3 Gb/s, 32 MB from its data sheet. Single track: 7K320 "
			  "specification, 4.4.2. Estimated: full stroke, head switch, sectors per "
			  "track (from 1 TB on two disks), zones, overhead, division of the memory",
	},
	{
		.name = "850-evo-250",
		.summary = "Samsung SSD 850 EVO, 250 GB, TLC V-NAND, SATA (2014): a consumer's",
		.text = "ssd:channels=8:dies=2:unit=8:page=4:block=256:read=63us:program=500us:"
			"erase=4ms:channel=12us:link=948ns:overhead=17us:buffer=1024:depth=32:"
			"spare=0.099:endurance=2000:plp=off",
		.source = "Data sheet of the 850 EVO: 540 MB/s (link), 40,000 writes a second one "
			  "at a time (overhead), 10,000 reads a second one at a time (sensing and "
			  "channel together), 250,059,350,016 bytes. Dies of 128 Gbit: Techgage, "
			  "December 2014; spare: 16 of them. Estimated: channels, division of the "
			  "read, page, block, program (520 MB/s, in its fast mode), erase, "
			  "buffer, endurance",
	},
	{
		.name = "dc-s3700-800",
		.summary = "Intel SSD DC S3700, 800 GB, MLC, SATA (2012): a data centre's",
		.text = "ssd:channels=8:dies=16:unit=8:page=4:block=256:read=50us:program=1.3ms:"
			"erase=5ms:channel=20us:link=1.024us:overhead=40us:buffer=4096:depth=32:"
			"spare=0.374:endurance=30000:plp=on",
		.source = "Product specification of the DC S3700: 500 MB/s (link), latencies of 50 "
			  "and 65 us (overhead within them), protection against power loss, ten "
			  "drive writes a day for five years (endurance at least 18,250). "
			  "Channels and 1 TB of flash (spare): Tom's Hardware, November 2012. "
			  "Estimated: dies, page, block, times of the flash, channel, buffer, "
			  "endurance with some write amplification",
	},
	{.name = NULL},
};
