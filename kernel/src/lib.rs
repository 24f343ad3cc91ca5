//! Boot, memory, interrupts and system calls of the image.
#![cfg_attr(not(test), no_std)]
