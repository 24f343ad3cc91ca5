//! An input device (virtio 1.2, 5.8): keyboard, pointer, touch screen. Its events are those of
//! Linux's evdev.
//!
//! Dropped: events of codes that the device doesn't announce, and key events that don't change the
//! state of the key. A device without a free buffer drops events silently: when all buffers were
//! used, the driver assumes a loss.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use device_types::input::kind::{ABS, KEY, LED, REL, REP, SW, SYN};
pub use device_types::input::{AbsoluteAxis, Description};
use device_types::input::{SYN_DROPPED, SYN_REPORT};

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

const EVENT_QUEUE: u16 = 0;
const STATUS_QUEUE: u16 = 1;
/// Descriptors of the two queues: events between two polls, and changes of lights in flight.
const EVENT_SIZE: (u16, u16) = (2, 256);
const STATUS_SIZE: (u16, u16) = (1, LEDS as u16);
/// Bytes of an event.
const EVENT: usize = 8;
/// Maximum number of lights of a device.
const LEDS: usize = 16;
/// Maximum number of keys and buttons of a device (`KEY_CNT` of Linux is 0x300).
const KEYS: usize = 0x300;
/// Maximum number of events in a group.
const MAX_GROUP: usize = 256;

/// Configuration space (5.8.4): the selection, the length of its data, and the data.
const CONFIG_SELECT: usize = 0;
const CONFIG_SUBSEL: usize = 1;
const CONFIG_SIZE: usize = 2;
const CONFIG_DATA: usize = 8;
const MAX_DATA: usize = 128;
/// Selections.
const ID_NAME: u8 = 0x01;
const ID_SERIAL: u8 = 0x02;
const ID_DEVIDS: u8 = 0x03;
const PROP_BITS: u8 = 0x10;
const EV_BITS: u8 = 0x11;
const ABS_INFO: u8 = 0x12;

/// An event: type, code and value of Linux's `input-event-codes.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Type (`EV_*`).
    pub kind: u16,
    /// Code, by the type.
    pub code: u16,
    /// Value, by the type.
    pub value: i32,
}

impl Event {
    /// The end of a group.
    const REPORT: Event = Event {
        kind: SYN,
        code: SYN_REPORT,
        value: 0,
    };
    /// Events were lost.
    const DROPPED: Event = Event {
        kind: SYN,
        code: SYN_DROPPED,
        value: 0,
    };
}

/// An input device. Dropping it resets the device.
///
/// ```
/// use drivers::fake::{HostMemory, Keyboard, Options, connect};
/// use drivers::input::Input;
///
/// let memory = HostMemory::new();
/// let (transport, device) = connect(memory, Keyboard::default(), Options::default());
/// let mut keyboard = Input::new(Box::new(transport), memory)?;
/// assert_eq!(keyboard.description().name, "Fake keyboard");
/// // EV_KEY, KEY_A, pressed; then SYN_REPORT, which ends the group.
/// device.with(|keyboard| keyboard.groups.push(vec![(1, 30, 1), (0, 0, 0)]));
/// device.step();
/// let mut events = Vec::new();
/// keyboard.poll(&mut |event| events.push((event.kind, event.code, event.value)));
/// assert_eq!(events, [(1, 30, 1), (0, 0, 0)]);
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Input {
    device: Device,
    events: Queue,
    status: Queue,
    event_pool: Region,
    status_pool: Region,
    description: Description,
    /// Events of the group that has not ended.
    group: Vec<Event>,
    /// The rest of the group is dropped.
    dropping: bool,
    /// The keys that are pressed.
    pressed: [u64; KEYS / 64],
    /// Lights: on, change pending, change in flight. One bit per code.
    leds_on: u32,
    leds_changed: u32,
    leds_sent: u32,
    /// Events were dropped; the next [`poll`](Input::poll) reports that.
    lost: bool,
}

impl Input {
    /// Starts the device, and reads its description.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Input, Error> {
        let wanted = device::feature::QUEUE;
        let mut device = Device::new(transport, memory, DeviceType::INPUT, wanted, &|features| {
            features
        })?;
        if device.is_legacy() {
            return Err(Error::NotModern);
        }
        let description = describe(&device)?;
        let events = device.queue(memory, EVENT_QUEUE, EVENT_SIZE, 1)?;
        let status = device.queue(memory, STATUS_QUEUE, STATUS_SIZE, 1)?;
        let pool = |count| Region::new(memory, count * EVENT, 64).ok_or(Error::OutOfMemory);
        let event_pool = pool(usize::from(events.size()))?;
        let status_pool = pool(LEDS)?;
        device.start();
        let mut input = Input {
            device,
            events,
            status,
            event_pool,
            status_pool,
            description,
            group: Vec::with_capacity(MAX_GROUP),
            dropping: false,
            pressed: [0; KEYS / 64],
            leds_on: 0,
            leds_changed: 0,
            leds_sent: 0,
            lost: false,
        };
        for index in 0..input.events.size() {
            input.add_buffer(index);
        }
        input.events.kick(input.device.transport());
        Ok(input)
    }

    /// Adds event buffer `index` to the queue. It always fits: there are as many descriptors.
    fn add_buffer(&mut self, index: u16) {
        let buffer = Buffer::writable(self.event_pool.phys(usize::from(index) * EVENT), EVENT);
        let added = self.events.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// Its description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// False once the device broke the protocol.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Reports the groups of events that have ended since the last call, each with its
    /// `SYN_REPORT`. A loss is reported as `SYN_DROPPED` and `SYN_REPORT`, after which all keys
    /// count as released; these are the last events of a device that broke the protocol. Never
    /// blocks.
    pub fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        if self.is_running() && self.receive_events(report).is_err() {
            log::error!(
                target: "drivers",
                "an input device broke the virtio protocol and was reset"
            );
            self.events.mark_failed();
            self.status.mark_failed();
            self.device.stop();
            self.lost = true;
        }
        if core::mem::take(&mut self.lost) {
            self.pressed = [0; KEYS / 64];
            report(Event::DROPPED);
            report(Event::REPORT);
        }
    }

    fn receive_events(&mut self, report: &mut dyn FnMut(Event)) -> Result<(), DeviceError> {
        let size = self.events.size();
        let mut used = 0;
        // Buffers are returned after the round, so that the round ends.
        let mut returned = [0u64; EVENT_SIZE.1 as usize / 64];
        while let Some(completion) = self.events.pop()? {
            let index = completion.token as usize;
            if (completion.written as usize) < EVENT {
                return Err(DeviceError);
            }
            // SAFETY: the device has returned the buffer. If it writes there nonetheless, each
            // value is read once.
            let bytes = unsafe { self.event_pool.slice(index * EVENT, EVENT) };
            let [a, b, c, d, e, f, g, h] = *bytes.first_chunk().ok_or(DeviceError)?;
            returned[index / 64] |= 1 << (index % 64);
            used += 1;
            let event = Event {
                kind: u16::from_le_bytes([a, b]),
                code: u16::from_le_bytes([c, d]),
                value: i32::from_le_bytes([e, f, g, h]),
            };
            self.receive(event, report);
        }
        while let Some(completion) = self.status.pop()? {
            self.leds_sent &= !(1 << (completion.token & 31));
        }
        if used == size {
            self.dropping |= !self.group.is_empty();
            self.group.clear();
            self.lost = true;
        }
        for index in 0..size {
            if returned[usize::from(index) / 64] >> (index % 64) & 1 == 1 {
                self.add_buffer(index);
            }
        }
        self.events.kick(self.device.transport());
        self.send_leds();
        Ok(())
    }

    /// Adds an event to its group. `SYN_REPORT` ends the group.
    fn receive(&mut self, event: Event, report: &mut dyn FnMut(Event)) {
        if (event.kind, event.code) == (SYN, SYN_REPORT) {
            if !core::mem::take(&mut self.dropping) && !self.group.is_empty() {
                self.group.drain(..).for_each(&mut *report);
                report(Event::REPORT);
            }
        } else if self.dropping || !self.is_new(event) {
            // Nothing.
        } else if (event.kind, event.code) == (SYN, SYN_DROPPED) || self.group.len() == MAX_GROUP {
            self.group.clear();
            self.dropping = true;
            self.lost = true;
        } else {
            self.group.push(event);
        }
    }

    /// Whether the device announced the event's code and the event changes the state of its key.
    /// Records that state.
    fn is_new(&mut self, event: Event) -> bool {
        let Event { kind, code, value } = event;
        let description = &self.description;
        match kind {
            SYN => true,
            KEY if description.keys.binary_search(&code).is_ok() => {
                let (word, bit) = (usize::from(code) / 64, 1 << (code % 64));
                let Some(word) = self.pressed.get_mut(word) else {
                    return false;
                };
                let before = *word;
                match value {
                    0 => *word &= !bit,
                    1 => *word |= bit,
                    _ => (),
                }
                *word != before
            }
            REL => description.relative.binary_search(&code).is_ok(),
            ABS => {
                let axes = &description.absolute;
                axes.binary_search_by_key(&code, |axis| axis.code).is_ok()
            }
            SW => description.switches.binary_search(&code).is_ok(),
            _ => false,
        }
    }

    /// Switches a light on or off; false if the device has no such light, or is out of use. Of
    /// several calls while the device handles one, the last one for each light counts.
    pub fn set_led(&mut self, led: u16, on: bool) -> bool {
        if !self.is_running() || self.description.leds.binary_search(&led).is_err() {
            return false;
        }
        let bit = 1 << led;
        let before = self.leds_on;
        self.leds_on = if on { before | bit } else { before & !bit };
        self.leds_changed |= before ^ self.leds_on;
        self.send_leds();
        true
    }

    fn send_leds(&mut self) {
        for led in 0..LEDS {
            let bit = 1u32 << led;
            let due = self.leds_changed & bit != 0 && self.leds_sent & bit == 0;
            if !due || self.status.room() == 0 {
                continue;
            }
            let mut bytes = [0; EVENT];
            bytes[..2].copy_from_slice(&LED.to_le_bytes());
            bytes[2] = led as u8;
            bytes[4] = u8::from(self.leds_on & bit != 0);
            // SAFETY: no message about this light is in flight.
            unsafe { self.status_pool.slice(led * EVENT, EVENT) }.copy_from_slice(&bytes);
            let buffer = Buffer::readable(self.status_pool.phys(led * EVENT), EVENT);
            if self.status.add(&[buffer], led as u32).is_ok() {
                self.leds_changed &= !bit;
                self.leds_sent |= bit;
            }
        }
        self.status.kick(self.device.transport());
    }

    /// Whether the rings show work for [`poll`](Input::poll).
    pub fn has_pending(&self) -> bool {
        self.is_running() && (self.events.has_used() || self.status_matters())
    }

    /// Whether a returned message allows another one to be sent.
    fn status_matters(&self) -> bool {
        self.leds_changed != 0 && self.status.has_used()
    }

    /// Call before waiting: requests an interrupt for the next event. Returns true if there is
    /// already work: don't wait.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.is_running() {
            return false;
        }
        let taken = self.leds_changed != 0 && self.status.enable_interrupts();
        self.events.enable_interrupts() || taken
    }

    /// Disables the interrupts of the queues; some may still arrive.
    pub fn disable_interrupts(&self) {
        if self.is_running() {
            self.events.disable_interrupts();
            self.status.disable_interrupts();
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.events.leak();
            self.status.leak();
            self.event_pool.leak();
            self.status_pool.leak();
        }
    }
}

/// Reads the description of a device.
fn describe(device: &Device) -> Result<Description, Error> {
    let read = |select, subsel| read(device, select, subsel).ok_or(Error::BadConfig);
    let bits = |kind: u16, most| -> Result<Vec<u16>, Error> {
        Ok(codes(&read(EV_BITS, kind as u8)?, most))
    };
    let mut ids = [0; 4];
    for (id, bytes) in ids.iter_mut().zip(read(ID_DEVIDS, 0)?.chunks_exact(2)) {
        *id = u16::from_le_bytes([bytes[0], bytes[1]]);
    }
    let mut absolute = Vec::new();
    for code in bits(ABS, 64)? {
        absolute.extend(axis(code, &read(ABS_INFO, code as u8)?));
    }
    Ok(Description {
        name: text(&read(ID_NAME, 0)?),
        serial: text(&read(ID_SERIAL, 0)?),
        ids,
        properties: codes(&read(PROP_BITS, 0)?, 32),
        keys: bits(KEY, KEYS)?,
        relative: bits(REL, 16)?,
        absolute,
        switches: bits(SW, 32)?,
        leds: bits(LED, LEDS)?,
        // QEMU's keyboard announces the type without codes.
        repeats: !read(EV_BITS, REP as u8)?.is_empty(),
    })
}

/// The data of a selection, at most 128 bytes; `None` if the configuration space is too short.
fn read(device: &Device, select: u8, subsel: u8) -> Option<Vec<u8>> {
    device.write_config_u8(CONFIG_SELECT, select)?;
    device.write_config_u8(CONFIG_SUBSEL, subsel)?;
    let size = usize::from(device.config_u8(CONFIG_SIZE)?).min(MAX_DATA);
    (0..size)
        .map(|at| device.config_u8(CONFIG_DATA + at))
        .collect()
}

/// The numbers of the bits that are set, below `most`.
fn codes(bitmap: &[u8], most: usize) -> Vec<u16> {
    let is_set = |code: &usize| bitmap[code / 8] >> (code % 8) & 1 == 1;
    let all = (0..most.min(bitmap.len() * 8)).filter(is_set);
    all.map(|code| code as u16).collect()
}

/// An absolute axis, if it has a range.
fn axis(code: u16, info: &[u8]) -> Option<AbsoluteAxis> {
    let field = |index: usize| {
        let bytes = info.get(index * 4..)?.first_chunk()?;
        Some(i32::from_le_bytes(*bytes))
    };
    let (minimum, maximum) = (field(0)?, field(1)?);
    (minimum < maximum).then(|| AbsoluteAxis {
        code,
        minimum,
        maximum,
        fuzz: field(2).unwrap_or(0),
        flat: field(3).unwrap_or(0),
        resolution: field(4).unwrap_or(0),
    })
}

/// A text, up to a null byte; `?` in place of anything but printable ASCII.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let printable = |byte: &u8| match byte {
        0x20..0x7f => char::from(*byte),
        _ => '?',
    };
    bytes.iter().map(printable).collect()
}

#[cfg(test)]
mod tests;
