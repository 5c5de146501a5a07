#include "textflag.h"

// func subWord(word uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL            word+0(FP), X0
	PSHUFD          $0, X0, X0
	AESKEYGENASSIST $0, X0, X1
	MOVL            X1, ret+8(FP)
	RET

// func inverseMix(key *[16]byte)
TEXT ·inverseMix(SB), NOSPLIT, $0-8
	MOVQ   key+0(FP), AX
	MOVOU  (AX), X0
	AESIMC X0, X0
	MOVOU  X0, (AX)
	RET

// func decryptEights(keys *[15][16]byte, rounds int, piece *byte, eights int)
TEXT ·decryptEights(SB), NOSPLIT, $0-32
	MOVQ keys+0(FP), AX
	MOVQ rounds+8(FP), BX
	MOVQ piece+16(FP), DX
	MOVQ eights+24(FP), CX

eight:
	MOVOU (DX), X0
	MOVOU 16(DX), X1
	MOVOU 32(DX), X2
	MOVOU 48(DX), X3
	MOVOU 64(DX), X4
	MOVOU 80(DX), X5
	MOVOU 96(DX), X6
	MOVOU 112(DX), X7

	MOVQ  AX, SI
	MOVQ  BX, DI
	MOVOU (SI), X8
	PXOR  X8, X0
	PXOR  X8, X1
	PXOR  X8, X2
	PXOR  X8, X3
	PXOR  X8, X4
	PXOR  X8, X5
	PXOR  X8, X6
	PXOR  X8, X7
	DECQ  DI

round:
	ADDQ   $16, SI
	MOVOU  (SI), X8
	AESDEC X8, X0
	AESDEC X8, X1
	AESDEC X8, X2
	AESDEC X8, X3
	AESDEC X8, X4
	AESDEC X8, X5
	AESDEC X8, X6
	AESDEC X8, X7
	DECQ   DI
	JNZ    round

	MOVOU      16(SI), X8
	AESDECLAST X8, X0
	AESDECLAST X8, X1
	AESDECLAST X8, X2
	AESDECLAST X8, X3
	AESDECLAST X8, X4
	AESDECLAST X8, X5
	AESDECLAST X8, X6
	AESDECLAST X8, X7

	MOVOU X0, (DX)
	MOVOU X1, 16(DX)
	MOVOU X2, 32(DX)
	MOVOU X3, 48(DX)
	MOVOU X4, 64(DX)
	MOVOU X5, 80(DX)
	MOVOU X6, 96(DX)
	MOVOU X7, 112(DX)

	ADDQ $128, DX
	DECQ CX
	JNZ  eight
	RET

// func encryptAgain(keys *[15][16]byte, rounds int, pads *byte, blocks int)
TEXT ·encryptAgain(SB), NOSPLIT, $0-32
	MOVQ  keys+0(FP), AX
	MOVQ  rounds+8(FP), BX
	MOVQ  pads+16(FP), DX
	MOVQ  blocks+24(FP), CX
	MOVOU (DX), X0

again:
	MOVQ  AX, SI
	MOVQ  BX, DI
	MOVOU (SI), X8
	PXOR  X8, X0
	DECQ  DI

encrypt:
	ADDQ   $16, SI
	MOVOU  (SI), X8
	AESENC X8, X0
	DECQ   DI
	JNZ    encrypt

	MOVOU      16(SI), X8
	AESENCLAST X8, X0
	ADDQ       $16, DX
	MOVOU      X0, (DX)
	DECQ       CX
	JNZ        again
	RET
