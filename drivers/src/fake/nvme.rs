//! An NVMe controller with namespaces in memory, which also lies by a script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::HostMemory;
use super::lock::lock;
use crate::nvme::{doorbell_stride, register_offset as offset};
use crate::registers::Registers;
use crate::transport::Interrupt;

mod device;
pub use device::{FakeNamespace, NvmeDevice, NvmeLie};

const PAGE: usize = 4096;
/// Data that an untouched discarded block reads as.
const DISCARDED: u8 = 0xdd;

#[derive(Clone, Copy)]
struct Ring {
    address: u64,
    size: u16,
    head: u16,
    tail: u16,
}

impl Ring {
    fn new(address: u64, size: u32) -> Ring {
        assert!(address.is_multiple_of(PAGE as u64) && (2..=1 << 16).contains(&size));
        Ring {
            address,
            size: size as u16,
            head: 0,
            tail: 0,
        }
    }

    fn next(&self, index: u16) -> u16 {
        (index + 1) % self.size
    }
}

struct Queue {
    submissions: Option<Ring>,
    completions: Ring,
    phase: bool,
    interrupts: bool,
    /// Commands that were fetched but not completed.
    held: VecDeque<[u32; 16]>,
}

struct Model {
    device: NvmeDevice,
    memory: &'static HostMemory,
    configuration: u32,
    attributes: u32,
    /// Halves of the admin queues' addresses.
    addresses: [u32; 4],
    /// Reads of the status until it follows the configuration.
    countdown: usize,
    ready: bool,
    queues: BTreeMap<u16, Queue>,
    resets: usize,
    doorbells: [usize; 4],
    status_reads: usize,
    interrupts: usize,
    masked: bool,
    /// It lied, after which the driver may be wrong about commands in flight.
    lied: bool,
}

/// The driver's end.
pub struct NvmeRegisters {
    model: Arc<Mutex<Model>>,
}

/// The test's end: access to the controller.
pub struct NvmeHandle {
    model: Arc<Mutex<Model>>,
}

impl NvmeHandle {
    /// Accesses the controller.
    pub fn with<R>(&self, f: impl FnOnce(&mut NvmeDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// The registers once more, for a second driver.
    pub fn registers(&self) -> NvmeRegisters {
        NvmeRegisters {
            model: self.model.clone(),
        }
    }

    /// Lets the controller work.
    pub fn step(&self) {
        lock(&self.model).work();
    }

    /// Number of resets.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// Whether it is enabled.
    pub fn is_enabled(&self) -> bool {
        lock(&self.model).configuration & 1 != 0
    }

    /// Number of doorbells of the I/O queues: submissions and completions.
    pub fn doorbells(&self) -> (usize, usize) {
        let model = lock(&self.model);
        (model.doorbells[2], model.doorbells[3])
    }

    /// Number of reads of the status.
    pub fn status_reads(&self) -> usize {
        lock(&self.model).status_reads
    }

    /// Number of interrupts that weren't masked.
    pub fn interrupts(&self) -> usize {
        lock(&self.model).interrupts
    }

    /// Commands of the I/O queue that are not completed.
    pub fn held(&self) -> usize {
        lock(&self.model)
            .queues
            .get(&1)
            .map_or(0, |queue| queue.held.len())
    }

    /// Sizes of the I/O queues: submissions and completions.
    pub fn sizes(&self) -> (u16, u16) {
        let model = lock(&self.model);
        let queue = model.queues.get(&1).expect("a queue");
        let submissions = queue.submissions.expect("a submission queue");
        (submissions.size, queue.completions.size)
    }

    /// Posts a completion of queue `number`, even if there is no such command.
    pub fn post(&self, number: u16, id: u16) {
        let mut model = lock(&self.model);
        let memory = model.memory;
        let Some(queue) = model.queues.get_mut(&number) else {
            return;
        };
        let count = queue.held.len();
        let is_other = |held: &[u32; 16]| held[0] >> 16 != u32::from(id);
        queue.held.retain(is_other);
        let is_lie = queue.held.len() == count;
        queue.post(memory, number, id, 0, true);
        model.lied |= is_lie;
    }
}

impl Queue {
    /// Posts a completion; with the phase of the last round unless `is_new`.
    fn post(&mut self, memory: &HostMemory, number: u16, id: u16, status: u16, is_new: bool) {
        let ring = &mut self.completions;
        let phase = self.phase == is_new;
        let mut entry = [0; 16];
        entry[10..12].copy_from_slice(&number.to_le_bytes());
        let word = u32::from(id) | u32::from(phase) << 16 | u32::from(status) << 17;
        entry[12..].copy_from_slice(&word.to_le_bytes());
        memory.write(ring.address + u64::from(ring.tail) * 16, &entry);
        ring.tail = ring.next(ring.tail);
        self.phase ^= ring.tail == 0;
    }
}

impl Model {
    /// The status follows the configuration after some reads.
    fn advance(&mut self) {
        if self.countdown > 0 {
            self.countdown -= 1;
            return;
        }
        let enabled = self.configuration & 1 != 0;
        if enabled == self.ready || self.device.never_resets && !enabled {
            return;
        }
        self.ready = enabled;
        self.queues.clear();
        if enabled {
            assert_eq!(self.configuration, 1 | 6 << 16 | 4 << 20);
            let long =
                |at: usize| u64::from(self.addresses[at]) | u64::from(self.addresses[at + 1]) << 32;
            let queue = Queue {
                submissions: Some(Ring::new(long(0), (self.attributes & 0xfff) + 1)),
                completions: Ring::new(long(2), (self.attributes >> 16 & 0xfff) + 1),
                phase: true,
                interrupts: true,
                held: VecDeque::new(),
            };
            self.queues.insert(0, queue);
        } else {
            self.resets += 1;
            self.device.fatal = false;
        }
    }

    fn status(&mut self) -> u32 {
        self.advance();
        self.status_reads += 1;
        u32::from(self.ready) | u32::from(self.device.fatal) << 1
    }

    /// Fetches and completes commands.
    fn work(&mut self) {
        if !self.ready || self.device.gone {
            return;
        }
        let numbers: Vec<u16> = self.queues.keys().copied().collect();
        for number in numbers {
            self.fetch(number);
            let is_stuck = match number {
                0 => self.device.stuck_admin,
                _ => self.device.stuck,
            };
            while !is_stuck && !self.device.fatal && !self.device.gone {
                let Some(queue) = self.queues.get_mut(&number) else {
                    break;
                };
                let command = match self.device.reversed {
                    true => queue.held.pop_back(),
                    false => queue.held.pop_front(),
                };
                let Some(command) = command else { break };
                self.complete(number, &command);
            }
        }
    }

    fn fetch(&mut self, number: u16) {
        let memory = self.memory;
        let Some(queue) = self.queues.get_mut(&number) else {
            return;
        };
        let Some(ring) = &mut queue.submissions else {
            return;
        };
        while ring.head != ring.tail {
            let mut bytes = [0; 64];
            memory.read(ring.address + u64::from(ring.head) * 64, &mut bytes);
            ring.head = ring.next(ring.head);
            let mut words = [0; 16];
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
            }
            let is_new = |held: &[u32; 16]| held[0] >> 16 != words[0] >> 16;
            let is_new = queue.held.iter().all(is_new);
            assert!(is_new || self.lied, "an identifier twice");
            queue.held.push_back(words);
        }
    }

    fn complete(&mut self, number: u16, command: &[u32; 16]) {
        let lie = self.device.lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let status = match &lie {
            Some(NvmeLie::Status(status)) => *status,
            Some(NvmeLie::Swallow) => return,
            Some(NvmeLie::Fatal) => {
                self.device.fatal = true;
                return;
            }
            Some(NvmeLie::Gone) => {
                self.device.gone = true;
                return;
            }
            _ => match number {
                0 => self.serve_admin(command, &lie),
                _ => self.serve(command),
            }
            .err()
            .unwrap_or(0),
        };
        let memory = self.memory;
        // A command may have removed its own queue by a lie; otherwise it is there.
        let Some(queue) = self.queues.get_mut(&number) else {
            return;
        };
        let ring = &queue.completions;
        let has_room = ring.next(ring.tail) != ring.head;
        assert!(has_room || self.lied, "the completion queue overflows");
        let id = (command[0] >> 16) as u16;
        match lie {
            Some(NvmeLie::Id(id)) => queue.post(memory, number, id, status, true),
            Some(NvmeLie::Queue(other)) => queue.post(memory, other, id, status, true),
            Some(NvmeLie::Phase) => queue.post(memory, number, id, status, false),
            Some(NvmeLie::Twice) => {
                queue.post(memory, number, id, status, true);
                queue.post(memory, number, id, status, true);
            }
            _ => queue.post(memory, number, id, status, true),
        }
        if queue.interrupts && !self.masked {
            self.interrupts += 1;
        }
    }

    fn serve_admin(&mut self, command: &[u32; 16], lie: &Option<NvmeLie>) -> Result<(), u16> {
        let opcode = command[0] as u8;
        self.device.admin.push((opcode, command[10]));
        let address = long(command, 6);
        let (number, size) = ((command[10] & 0xffff) as u16, (command[10] >> 16) + 1);
        let most = (self.device.capabilities & 0xffff) as u32 + 1;
        match opcode {
            0x06 => {
                let mut answer = self.device.identify(command[10], command[1])?;
                if let Some(NvmeLie::Answer(at, bytes)) = lie {
                    let at = usize::from(*at) % PAGE;
                    for (to, byte) in answer[at..].iter_mut().zip(bytes) {
                        *to = *byte;
                    }
                }
                assert_eq!(command[8..10], [0; 2], "no second entry");
                self.memory.write(address, &answer);
                Ok(())
            }
            0x09 => {
                assert_eq!((command[10], command[11]), (7, 0), "one pair of queues");
                Ok(())
            }
            0x05 => {
                assert!(number == 1 && size <= most && command[11] == 0b11);
                let queue = Queue {
                    submissions: None,
                    completions: Ring::new(address, size),
                    phase: true,
                    interrupts: true,
                    held: VecDeque::new(),
                };
                self.queues.insert(number, queue);
                Ok(())
            }
            0x01 => {
                assert!(number == 1 && size <= most && command[11] == 1 | 1 << 16);
                // Not there only after a lie.
                let queue = self.queues.get_mut(&number).ok_or(0x100u16)?;
                queue.submissions = Some(Ring::new(address, size));
                Ok(())
            }
            _ => Err(0x001),
        }
    }

    /// The pieces of a command's data: address and length.
    fn data(&mut self, command: &[u32; 16], len: usize) -> Vec<(u64, usize)> {
        let (first, second) = (long(command, 6), long(command, 8));
        assert!(first.is_multiple_of(4), "PRP1 {first:#x}");
        let here = len.min(PAGE - (first % PAGE as u64) as usize);
        let mut pieces = vec![(first, here)];
        let mut rest = len - here;
        let mut entries = vec![];
        if rest > PAGE {
            let count = rest.div_ceil(PAGE);
            let in_page = (second % PAGE as u64) as usize;
            assert!(in_page.is_multiple_of(8) && in_page + 8 * count <= PAGE);
            for index in 0..count {
                let mut entry = [0; 8];
                self.memory.read(second + 8 * index as u64, &mut entry);
                entries.push(u64::from_le_bytes(entry));
            }
        } else if rest > 0 {
            entries.push(second);
        }
        for entry in entries {
            assert!(entry.is_multiple_of(PAGE as u64), "PRP entry {entry:#x}");
            let here = rest.min(PAGE);
            pieces.push((entry, here));
            rest -= here;
        }
        self.device.most_entries = self.device.most_entries.max(pieces.len());
        self.device.most_bytes = self.device.most_bytes.max(len);
        pieces
    }

    fn serve(&mut self, command: &[u32; 16]) -> Result<(), u16> {
        let memory = self.memory;
        let (opcode, number) = (command[0] as u8, command[1]);
        let (mut block, mut count) = (long(command, 10), (command[12] & 0xffff) + 1);
        let mut flags = command[12] & !0xffff;
        let block_size = self.device.namespace(number).ok_or(0x00bu16)?.block_size;
        let limit = match self.device.max_transfer {
            0 => usize::MAX,
            log => PAGE << log,
        };
        let mut pieces = Vec::new();
        match opcode {
            0x00 => {
                assert_eq!(command[2..], [0; 14]);
                self.device.done.1 += 1;
                return Ok(());
            }
            0x01 | 0x02 => {
                let len = count as usize * block_size;
                assert!(len <= limit, "{len} bytes, at most {limit}");
                assert_eq!((flags, command[13]), (0, 0));
                pieces = self.data(command, len);
                self.device.done.0 += 1;
            }
            0x09 => {
                assert_eq!((command[10], command[11]), (0, 1 << 2), "one range");
                let mut range = [0; 16];
                memory.read(long(command, 6), &mut range);
                let word = |at: usize| u32::from_le_bytes(range[at..at + 4].try_into().expect("4"));
                (flags, count) = (word(0), word(4));
                block = u64::from(word(8)) | u64::from(word(12)) << 32;
            }
            0x08 => {
                if count > self.device.max_zeroes {
                    return Err(0x002);
                }
            }
            _ => return Err(0x001),
        }
        if matches!(opcode, 0x08 | 0x09) {
            self.device
                .cleared
                .push((opcode, number, block, count, flags));
        }
        let namespace = self.device.namespace(number).ok_or(0x00bu16)?;
        if namespace.read_only && opcode != 0x02 {
            return Err(0x020);
        }
        let end = block + u64::from(count);
        let place = block as usize * block_size..end as usize * block_size;
        let place = namespace.data.get_mut(place).ok_or(0x080u16)?;
        if namespace.bad.range(block..end).next().is_some() {
            return Err(0x281);
        }
        match opcode {
            0x08 => place.fill(0),
            0x09 => place.fill(DISCARDED),
            _ => {
                let mut at = 0;
                for (phys, len) in pieces {
                    let piece = &mut place[at..at + len];
                    match opcode {
                        0x01 => memory.read(phys, piece),
                        _ => memory.write(phys, piece),
                    }
                    at += len;
                }
            }
        }
        Ok(())
    }

    fn doorbell(&mut self, index: usize, value: u32) {
        if let Some(count) = self.doorbells.get_mut(index) {
            *count += 1;
        }
        let lied = self.lied;
        let Some(queue) = self.queues.get_mut(&((index / 2) as u16)) else {
            return;
        };
        let ring = match (index % 2, &mut queue.submissions) {
            (0, Some(ring)) => ring,
            (0, None) => return,
            _ => &mut queue.completions,
        };
        assert!(value < u32::from(ring.size), "an entry outside of the ring");
        let value = value as u16;
        if index.is_multiple_of(2) {
            ring.tail = value;
            self.work();
        } else {
            let taken = |at: u16| (at + ring.size - ring.head) % ring.size;
            let is_posted = taken(value) <= taken(ring.tail);
            assert!(is_posted || lied, "took what wasn't posted");
            ring.head = value;
        }
    }
}

fn long(command: &[u32; 16], at: usize) -> u64 {
    u64::from(command[at]) | u64::from(command[at + 1]) << 32
}

impl Registers for NvmeRegisters {
    fn read(&self, offset: usize) -> u32 {
        let mut model = lock(&self.model);
        if model.device.gone {
            return u32::MAX;
        }
        match offset {
            offset::CAPABILITIES => model.device.capabilities as u32,
            0x04 => (model.device.capabilities >> 32) as u32,
            offset::VERSION => model.device.version,
            offset::CONFIGURATION => model.configuration,
            offset::STATUS => model.status(),
            _ => panic!("the driver reads {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let mut model = lock(&self.model);
        if model.device.gone {
            return;
        }
        match offset {
            offset::INTERRUPT_MASK_SET => model.masked |= value & 1 != 0,
            offset::INTERRUPT_MASK_CLEAR => model.masked &= value & 1 == 0,
            offset::CONFIGURATION => {
                if (model.configuration ^ value) & 1 != 0 {
                    model.countdown = model.device.reset_reads;
                }
                model.configuration = value;
            }
            offset::ADMIN_QUEUE_ATTRIBUTES => model.attributes = value,
            offset::ADMIN_SUBMISSIONS..0x38 => {
                model.addresses[(offset - offset::ADMIN_SUBMISSIONS) / 4] = value;
            }
            offset::DOORBELLS.. => {
                let stride = doorbell_stride((model.device.capabilities >> 32) as u32);
                let at = offset - offset::DOORBELLS;
                assert!(at.is_multiple_of(stride), "between the doorbells");
                model.doorbell(at / stride, value);
            }
            _ => panic!("the driver writes {offset:#x}"),
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}
