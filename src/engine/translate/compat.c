/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 32-bit code runs on the host as 64-bit code: what of an encoding means something else there.
 *
 * 64-bit mode has no other forms for most of it (SDM vol. 2, chapter 2.2.1): REX took the place of
 * the short INC and DEC, and W counts in VEX, of which 32-bit code ignores some bits.
 */
#include "engine/translate/translate.h"

void tr_compat_encode(struct tr_insn *i)
{
	if (!i->vex && i->map == 0 && i->opcode == 0x82)
		i->opcode = 0x80; /* an alias that is gone */
}

/* FF /0 and /1 */
static void encode_step(struct tr_insn *i)
{
	i->reg = i->opcode >> 3 & 1;
	i->opcode = 0xff;
	i->has_modrm = true;
	i->rm = i->op_reg;
	i->op_reg = NO_REG;
	i->gpr = i->loads = i->stores = FIELD_RM;
}

static bool has_is4(const struct dec *d)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->o[k].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return true;
	return false;
}

void tr_compat_encoded(const struct dec *d, struct tr_insn *i)
{
	if (i->evex)
		i->w &= !dec_w_is_size(d, i->gpr);
	if (!i->vex) {
		if (i->map == 0 && (i->opcode & 0xf0) == 0x40)
			encode_step(i);
		return;
	}
	i->w &= !dec_w_is_size(d, i->gpr);
	if (has_is4(d))
		i->imm &= ~(u64)0x80; /* of a register's number */
}

/* Offsets near 4 GiB are left to those who know the limit; others are looked at when it runs. */
bool tr_compat_segment(const struct dec *d, const struct tr_insn *i)
{
	bool constant = i->base == NO_REG && i->index == NO_REG;

	if (!(d->mode & (i->seg == X86_FS ? MODE_OPEN_FS : MODE_OPEN_GS)))
		return false;
	return !constant || (u64)(u32)i->disp + i->size <= BIT(32);
}
