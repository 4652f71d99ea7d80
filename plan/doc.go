// Package plan is the intermediate representation between config.json and the kernel.
//
// A Plan is a list of raw system calls as data. specconv writes it through a Builder, Verify proves that it keeps the
// security invariants, Encode turns it into the bytes that the interpreter (nsenter/interp) maps, and String prints it
// the way strace would. The package is a leaf: it does no I/O and knows nothing of OCI.
//
// # The machine
//
// The interpreter has registers and a data area. A register holds the result of one call, nearly always a file
// descriptor; -1 means unset. The first registers are inputs: descriptors that the parent hands over. Operands are
// immediate numbers, addresses in the data area, or registers. There are no loops: control only moves forward.
//
//	call    run a system call; an errno that the op tolerates continues Jump ops further on
//	store   write a register into the data area (an SCM_RIGHTS message needs the number of a descriptor)
//	test    compare a register or a number in the data area; on a match continue Jump ops further on
//	fail    stop and report an errno of the plan's choosing
//	gate    tell the parent that this point is reached, and the number of a descriptor that it wants; wait for its answer, put
//	        the answer into the data area
//	report  from here on report to another socket (the one that start connected to)
//	clone   fork; the first process tells the parent the new pid and ends, the second one goes on
//
// # The bytes
//
// Header, data, ops, in this order, little endian, at the fixed address Base: pointers inside the data (argv, iovec,
// sock_fprog) are final when they are written, so nothing is relocated at run time and pages that are only read are never
// copied. The C side of the layout, plan_abi.h, is generated from the constants of this package.
package plan

//go:generate go run ./gen ../nsenter/interp/plan_abi.h
