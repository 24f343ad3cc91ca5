//! The object that `soil simulate` preloads into nodes whose programs don't link Soil.
//!
//! It contains the crate `sim`, which makes the process a node before `main`, and answers the
//! system calls on sockets, pipes, timers and readiness that `sim` leaves: on a TCP/IP stack in the
//! process, whose frames go through the coordinator, in virtual time.
//! `platform/sim/preload/README.md` lists the calls.
//!
//! # Layers
//!
//! ```text
//! answer                               the calls by number
//! poll  epoll                          waits for descriptors
//! readiness                            what descriptors are ready for
//! sockets  transfer  descriptors  options  channels  events  files
//! wait  signals  end                   calls that block; signals; the end of the process
//! state                                descriptors and their objects
//! objects  network  address            kinds of objects; the stack; addresses of sockets
//! memory  kernel                       the program's memory; Linux
//! ```

#![cfg(target_arch = "x86_64")]

mod address;
mod answer;
mod channels;
mod descriptors;
mod end;
mod epoll;
mod events;
mod files;
mod kernel;
mod memory;
mod network;
mod objects;
mod options;
mod poll;
mod readiness;
mod signals;
mod sockets;
mod state;
mod transfer;
mod wait;

/// Runs before the crate `sim` attaches the process.
extern "C" fn begin() {
    static ANSWER: sim::Answer = answer::answer;
    sim::set_answer(&ANSWER);
}

/// The linker places sections with a number before `.init_array`, which has the function of `sim`.
#[used]
#[unsafe(link_section = ".init_array.00200")]
static BEGIN: extern "C" fn() = begin;
