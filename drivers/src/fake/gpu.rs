//! A graphics adapter whose screens are memory.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;
use crate::gpu::feature;

/// Bytes of the header of a command and of a response.
const HEADER: usize = 24;
/// Types of responses.
const OK: u32 = 0x1100;
const OK_DISPLAY_INFO: u32 = 0x1101;
const OK_EDID: u32 = 0x1104;
const ERR_UNSPEC: u32 = 0x1200;
const ERR_INVALID_SCANOUT: u32 = 0x1202;
const ERR_INVALID_RESOURCE: u32 = 0x1203;
const ERR_INVALID_PARAMETER: u32 = 0x1205;

/// A picture on the host.
struct Resource {
    width: u32,
    pixels: Vec<u32>,
    /// Its memory in the guest: physical address and bytes.
    backing: Option<(u64, u32)>,
    blob: bool,
}

/// The state of a scan-out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// The resource; 0: nothing.
    pub resource: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The pixels as of the last flush, row by row.
    pub pixels: Vec<u32>,
    /// The cursor.
    pub cursor: Option<Pointer>,
}

/// A cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Its pixels, row by row.
    pub image: Vec<u32>,
    /// Position of its upper left corner.
    pub place: (u32, u32),
    /// Its hot spot.
    pub hot_spot: (u32, u32),
}

/// A graphics adapter.
pub struct Adapter {
    /// The offered features.
    pub features: u64,
    /// The preferred sizes of the enabled scan-outs, in pixels.
    pub sizes: Vec<Option<(u32, u32)>>,
    /// The EDIDs of the scan-outs.
    pub edids: Vec<Vec<u8>>,
    /// The state of each scan-out.
    pub screens: Vec<Screen>,
    /// `events_read`.
    pub events: u32,
    /// The types of the commands so far.
    pub commands: Vec<u32>,
    /// The responses to types of commands that are refused.
    pub refuse: BTreeMap<u32, u32>,
    /// Number of further commands that it accepts.
    pub left: usize,
    /// Changes each response before it is written.
    pub mangle: Option<fn(&mut Vec<u8>)>,
    resources: BTreeMap<u32, Resource>,
}

impl Adapter {
    /// An adapter with scan-outs of these sizes.
    pub fn new(sizes: &[Option<(u32, u32)>]) -> Adapter {
        Adapter {
            features: feature::EDID,
            sizes: sizes.to_vec(),
            edids: vec![edid("Fake screen", 640, 480); sizes.len()],
            screens: vec![Screen::default(); sizes.len()],
            events: 0,
            commands: Vec::new(),
            refuse: BTreeMap::new(),
            left: usize::MAX,
            mangle: None,
            resources: BTreeMap::new(),
        }
    }

    /// Number of resources that exist.
    pub fn resources(&self) -> usize {
        self.resources.len()
    }

    /// Performs a command; returns the type of the response and the bytes after its header.
    fn serve(&mut self, memory: &HostMemory, command: &[u8]) -> (u32, Vec<u8>) {
        let word = |at: usize| {
            let bytes = command.get(at..at + 4).expect("a whole command");
            u32::from_le_bytes(bytes.try_into().expect("4 bytes"))
        };
        let body = |index: usize| word(HEADER + index * 4);
        let done = |kind| (kind, Vec::new());
        let kind = word(0);
        self.commands.push(kind);
        if let Some(answer) = self.refuse.get(&kind) {
            return done(*answer);
        }
        match kind {
            0x100 => {
                let mut info = vec![0; 16 * 24];
                for (mode, size) in info.chunks_exact_mut(24).zip(&self.sizes) {
                    if let Some((width, height)) = size {
                        mode[8..12].copy_from_slice(&width.to_le_bytes());
                        mode[12..16].copy_from_slice(&height.to_le_bytes());
                        mode[16] = 1;
                    }
                }
                (OK_DISPLAY_INFO, info)
            }
            0x101 => {
                let [id, format, width, height] = [0, 1, 2, 3].map(body);
                assert!(format == 2 || (format, width, height) == (1, 64, 64));
                let pixels = vec![0; (width * height) as usize];
                self.create(id, width, pixels, None, false)
            }
            0x102 => match self.resources.remove(&body(0)) {
                Some(_) => done(OK),
                None => done(ERR_INVALID_RESOURCE),
            },
            0x103 => self.show(body(4), body(5), body(2), body(3)),
            0x10d => {
                assert_eq!((body(8), body(10)), (2, body(2) * 4), "format and stride");
                self.show(body(4), body(5), body(2), body(3))
            }
            0x104 => self.flush(memory, body(4), [0, 1, 2, 3].map(body)),
            0x105 => {
                let offset = u64::from(body(4)) | u64::from(body(5)) << 32;
                self.transfer(memory, body(6), [0, 1, 2, 3].map(body), offset)
            }
            0x106 => {
                assert_eq!(body(1), 1, "one range of memory");
                let phys = u64::from(body(2)) | u64::from(body(3)) << 32;
                match self.resources.get_mut(&body(0)) {
                    Some(resource) if resource.backing.is_none() => {
                        resource.backing = Some((phys, body(4)));
                        done(OK)
                    }
                    _ => done(ERR_INVALID_RESOURCE),
                }
            }
            0x10a => match self.edids.get(body(0) as usize) {
                Some(edid) => {
                    let mut answer = (edid.len() as u32).to_le_bytes().to_vec();
                    answer.resize(8, 0);
                    answer.extend(edid);
                    answer.resize(8 + 1024, 0);
                    (OK_EDID, answer)
                }
                None => done(ERR_INVALID_SCANOUT),
            },
            0x10c => {
                assert_eq!(
                    [1, 2, 3].map(body),
                    [1, 2, 1],
                    "guest, shareable, one range"
                );
                let phys = u64::from(body(8)) | u64::from(body(9)) << 32;
                if !phys.is_multiple_of(4096) || !body(10).is_multiple_of(4096) {
                    // As Linux' udmabuf does.
                    return done(ERR_UNSPEC);
                }
                self.create(body(0), 0, Vec::new(), Some((phys, body(10))), true)
            }
            _ => done(ERR_UNSPEC),
        }
    }

    fn create(
        &mut self,
        id: u32,
        width: u32,
        pixels: Vec<u32>,
        backing: Option<(u64, u32)>,
        blob: bool,
    ) -> (u32, Vec<u8>) {
        if id == 0 || self.resources.contains_key(&id) {
            return (ERR_INVALID_RESOURCE, Vec::new());
        }
        let resource = Resource {
            width,
            pixels,
            backing,
            blob,
        };
        self.resources.insert(id, resource);
        (OK, Vec::new())
    }

    fn show(&mut self, scanout: u32, id: u32, width: u32, height: u32) -> (u32, Vec<u8>) {
        let known = id == 0 || self.resources.contains_key(&id);
        let answer = match self.screens.get_mut(scanout as usize) {
            None => ERR_INVALID_SCANOUT,
            Some(_) if !known => ERR_INVALID_RESOURCE,
            Some(screen) => {
                (screen.resource, screen.width, screen.height) = (id, width, height);
                screen.pixels = vec![0; (width * height) as usize];
                OK
            }
        };
        (answer, Vec::new())
    }

    fn transfer(
        &mut self,
        memory: &HostMemory,
        id: u32,
        [x, y, width, height]: [u32; 4],
        offset: u64,
    ) -> (u32, Vec<u8>) {
        let Some(resource) = self.resources.get_mut(&id) else {
            return (ERR_INVALID_RESOURCE, Vec::new());
        };
        let Some((phys, len)) = resource.backing.filter(|_| !resource.blob) else {
            return (ERR_UNSPEC, Vec::new());
        };
        let of = u64::from(resource.width);
        assert_eq!(offset, (u64::from(y) * of + u64::from(x)) * 4);
        for row in y..y + height {
            let first = u64::from(row) * of + u64::from(x);
            assert!((first + u64::from(width)) * 4 <= u64::from(len));
            let mut bytes = vec![0; width as usize * 4];
            memory.read(phys + first * 4, &mut bytes);
            copy(&bytes, &mut resource.pixels[first as usize..]);
        }
        (OK, Vec::new())
    }

    fn flush(
        &mut self,
        memory: &HostMemory,
        id: u32,
        [x, y, width, height]: [u32; 4],
    ) -> (u32, Vec<u8>) {
        let Some(resource) = self.resources.get(&id) else {
            return (ERR_INVALID_RESOURCE, Vec::new());
        };
        for screen in self.screens.iter_mut().filter(|s| s.resource == id) {
            if x + width > screen.width || y + height > screen.height {
                return (ERR_INVALID_PARAMETER, Vec::new());
            }
            for row in y..y + height {
                let first = (row * screen.width + x) as usize;
                let into = &mut screen.pixels[first..first + width as usize];
                match resource.backing {
                    Some((phys, _)) if resource.blob => {
                        let mut bytes = vec![0; width as usize * 4];
                        memory.read(phys + first as u64 * 4, &mut bytes);
                        copy(&bytes, into);
                    }
                    _ => into.copy_from_slice(&resource.pixels[first..first + width as usize]),
                }
            }
        }
        (OK, Vec::new())
    }

    /// Performs a command of the cursor queue.
    fn point(&mut self, command: &[u8]) {
        let word = |index: usize| {
            let at = HEADER + index * 4;
            u32::from_le_bytes(command[at..at + 4].try_into().expect("4 bytes"))
        };
        assert_eq!(command.len(), 56);
        let screen = &mut self.screens[word(0) as usize];
        let place = (word(1), word(2));
        match (command[0], &mut screen.cursor) {
            (1, Some(cursor)) => cursor.place = place,
            (1, None) => (),
            _ => {
                let resource = self.resources.get(&word(4));
                let hot_spot = (word(5), word(6));
                screen.cursor = resource.map(|resource| Pointer {
                    image: resource.pixels.clone(),
                    place,
                    hot_spot,
                });
            }
        }
    }
}

fn copy(bytes: &[u8], pixels: &mut [u32]) {
    for (pixel, bytes) in pixels.iter_mut().zip(bytes.chunks_exact(4)) {
        *pixel = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
    }
}

impl Backend for Adapter {
    fn device_type(&self) -> DeviceType {
        DeviceType::GPU
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let words = [self.events, 0, self.sizes.len() as u32, 0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn write_config(&mut self, offset: usize, value: u32) {
        assert_eq!(offset, 4, "events_clear alone is written");
        self.events &= !value;
    }

    fn reset(&mut self) {
        self.resources.clear();
        self.screens.fill(Screen::default());
    }

    fn queues(&self) -> Vec<u16> {
        vec![64, 16]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let [control, cursor] = queues else { return };
        while self.left > 0
            && let Some(chain) = control.pop()
        {
            self.left -= 1;
            let command = chain.read(memory);
            let (kind, rest) = self.serve(memory, &command);
            let mut answer = kind.to_le_bytes().to_vec();
            answer.resize(HEADER, 0);
            if command[4] & 1 == 1 {
                answer[4..16].copy_from_slice(&command[4..16]);
            }
            answer.extend(rest);
            if let Some(mangle) = self.mangle {
                mangle(&mut answer);
            }
            let written = chain.write(memory, &answer);
            control.push(chain.head, written);
        }
        control.ask_for_notification();
        while self.left > 0
            && let Some(chain) = cursor.pop()
        {
            self.left -= 1;
            self.point(&chain.read(memory));
            cursor.push(chain.head, 0);
        }
        cursor.ask_for_notification();
    }
}

/// The EDID of a monitor with a preferred mode of this size at 75 Hz. It also supports 1024×768 by
/// a standard timing, 640×480 by an established one, and 1920×1080 by one of its extension block.
pub fn edid(name: &str, width: u32, height: u32) -> Vec<u8> {
    let mut edid = vec![0u8; 256];
    edid[1..7].fill(0xff);
    edid[18..20].copy_from_slice(&[1, 4]);
    edid[21..23].copy_from_slice(&[33, 20]);
    edid[35] = 1 << 5;
    edid[38..54].fill(1);
    edid[38..40].copy_from_slice(&[97, 1 << 6]);
    // 325 mm wide, and as high as square pixels require.
    let size = (325, 325 * height / width);
    let clock = (width + 160) * (height + 50) * 75 / 10_000;
    timing(&mut edid[54..72], clock, (width, 160), (height, 50), size);
    edid[72..77].copy_from_slice(&[0, 0, 0, 0xfc, 0]);
    edid[77..90].fill(b' ');
    edid[77..77 + name.len()].copy_from_slice(name.as_bytes());
    edid[77 + name.len()] = b'\n';
    edid[126] = 1;
    edid[128..131].copy_from_slice(&[2, 3, 4]);
    timing(
        &mut edid[132..150],
        14_850,
        (1920, 280),
        (1080, 45),
        (600, 340),
    );
    for block in edid.chunks_exact_mut(128) {
        let sum = block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        block[127] = sum.wrapping_neg();
    }
    edid
}

/// A detailed timing, its clock in 10 kHz: shown and blank pixels, shown and blank rows, and the
/// size in millimetres.
fn timing(
    into: &mut [u8],
    clock: u32,
    (width, blank): (u32, u32),
    (height, blank_rows): (u32, u32),
    (width_mm, height_mm): (u32, u32),
) {
    into[..2].copy_from_slice(&(clock as u16).to_le_bytes());
    let pairs = [
        (2, width, blank),
        (5, height, blank_rows),
        (12, width_mm, height_mm),
    ];
    for (at, first, second) in pairs {
        into[at] = first as u8;
        into[at + 1] = second as u8;
        into[at + 2] = (first >> 8 << 4 | second >> 8) as u8;
    }
}
