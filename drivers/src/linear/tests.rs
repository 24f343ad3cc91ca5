use std::boxed::Box;
use std::format;
use std::vec;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Linear, LinearError, MAX_VIDEO, Mode, Order, Picture, swapped};
use crate::fake::HostMemory;
use crate::gpu::Rectangle;

const ADDRESS: u64 = 0xc000_0000;
const NOTHING: u32 = 0xdead_beef;

/// Video memory that the test also reads.
struct Screen {
    memory: &'static HostMemory,
    mode: Mode,
    video: *const u32,
}

impl Screen {
    fn new(width: u32, height: u32, stride: u32, order: Order) -> Screen {
        let memory = HostMemory::new();
        let len = stride as usize * height as usize;
        let pixels = Box::leak(vec![NOTHING; len].into_boxed_slice());
        let video = pixels.as_ptr();
        memory.add_registers(ADDRESS, pixels);
        Screen {
            memory,
            mode: Mode {
                address: ADDRESS,
                width,
                height,
                stride,
                order,
            },
            video,
        }
    }

    fn pixel(&self, x: u32, y: u32) -> u32 {
        let index = (y * self.mode.stride + x) as usize;
        // SAFETY: inside video memory, which lives as long as the process.
        let pixel = unsafe { self.video.add(index).read_volatile() };
        match self.mode.order {
            Order::Rgb if x < self.mode.width => swapped(pixel),
            _ => pixel,
        }
    }

    /// Whether the picture is this, and the pixels between rows were left alone.
    fn check(&self, wanted: &dyn Fn(u32, u32) -> u32) {
        for y in 0..self.mode.height {
            for x in 0..self.mode.stride {
                let inside = x < self.mode.width;
                let wanted = if inside { wanted(x, y) } else { NOTHING };
                assert_eq!(self.pixel(x, y), wanted, "{x},{y}");
            }
        }
    }
}

fn colour(x: u32, y: u32) -> u32 {
    (x * 7 % 256) << 16 | (y * 5 % 256) << 8 | 0x33
}

#[test]
fn a_mode_has_its_text() {
    let mode = Mode::parse(b"0xfd000000,1280x800,1536,rgb").unwrap();
    let wanted = Mode {
        address: 0xfd00_0000,
        width: 1280,
        height: 800,
        stride: 1536,
        order: Order::Rgb,
    };
    assert_eq!(mode, wanted);
    for text in [
        "",
        "0x1000",
        "1000,64x64,64,bgr",
        "0x1000,64,64,bgr",
        "0x1000,64x64,64",
        "0x1000,64x64,64,grey",
        "0x1000,64x64,64,bgr,",
        "0x1000,-64x64,64,bgr",
        "0x1000,64x4294967296,64,bgr",
        "0x10000000000000000,64x64,64,bgr",
        "0x1000,64x64,64,bgr\u{e4}",
    ] {
        assert_eq!(
            Mode::parse(text.as_bytes()),
            Err(LinearError::Malformed),
            "{text}"
        );
    }
    assert_eq!(Mode::parse(b"\xff"), Err(LinearError::Malformed));
}

#[test]
fn impossible_modes_are_refused() {
    for (text, error) in [
        // A stride less than the width.
        ("0x1000,64x64,63,bgr", LinearError::Size),
        ("0x1000,15x64,64,bgr", LinearError::Size),
        ("0x1000,64x0,64,bgr", LinearError::Size),
        ("0x1000,8193x64,8193,bgr", LinearError::Size),
        ("0x1000,64x8193,64,bgr", LinearError::Size),
        // More memory than the largest picture has.
        ("0x1000,64x8192,8193,bgr", LinearError::Size),
        ("0x1000,64x64,4294967295,bgr", LinearError::Size),
        ("0x1002,64x64,64,bgr", LinearError::Address),
        ("0x0,64x64,64,bgr", LinearError::Address),
        ("0xfffffffffffffffc,64x64,64,bgr", LinearError::Address),
    ] {
        assert_eq!(Mode::parse(text.as_bytes()), Err(error), "{text}");
    }
    assert!(Mode::parse(b"0x1000,8192x8192,8192,bgr").is_ok());
    // Memory of the program isn't mapped as video memory.
    let screen = Screen::new(64, 64, 64, Order::Bgr);
    let ram = Mode {
        address: ADDRESS + 4096,
        ..screen.mode
    };
    assert_eq!(
        Linear::new(screen.memory, ram).err(),
        Some(LinearError::Address)
    );
    assert_eq!(
        Picture::new(screen.memory, ram).err(),
        Some(LinearError::Address)
    );
}

#[test]
fn a_program_shows_pictures() {
    for order in [Order::Bgr, Order::Rgb] {
        let screen = Screen::new(40, 30, 48, order);
        let mut linear = Linear::new(screen.memory, screen.mode).unwrap();
        screen.check(&|x, y| swapped_if(order, x, y));
        let (first, pixels) = linear.create(32, 20).unwrap();
        let draw = |x: u32, y: u32, value: u32| {
            assert!(x < 32 && y < 20);
            // SAFETY: a pixel of the buffer.
            unsafe { pixels.add((y * 32 + x) as usize).write(value) };
        };
        for y in 0..20 {
            for x in 0..32 {
                draw(x, y, colour(x, y));
            }
        }
        linear.present(first, &[]).unwrap();
        let inside = |x, y| x < 32 && y < 20;
        screen.check(&|x, y| if inside(x, y) { colour(x, y) } else { 0 });
        // Only the damage is copied, and none of it outside the picture.
        draw(31, 19, 1);
        draw(0, 0, 2);
        let part = Rectangle {
            x: 30,
            y: 18,
            width: u32::MAX,
            height: u32::MAX,
        };
        linear.present(first, &[part]).unwrap();
        assert_eq!(
            (screen.pixel(31, 19), screen.pixel(0, 0)),
            (1, colour(0, 0))
        );
        let (second, _) = linear.create(40, 30).unwrap();
        linear.present(second, &[]).unwrap();
        screen.check(&|_, _| 0);
        linear.present(first, &[]).unwrap();
        assert_eq!(screen.pixel(0, 0), 2);
        linear.disable();
        screen.check(&|_, _| 0);
        linear.present(first, &[]).unwrap();
        assert_eq!(screen.pixel(0, 0), 2);
        linear.release(first);
        linear.release(77);
        assert_eq!(linear.present(first, &[]), Err(LinearError::Invalid));
        let large = LinearError::TooLarge {
            width: 40,
            height: 30,
        };
        assert_eq!(linear.create(41, 30).err(), Some(large));
        assert_eq!(linear.create(40, 31).err(), Some(large));
        assert_eq!(linear.create(15, 20).err(), Some(LinearError::Invalid));
        screen.memory.limit(0);
        assert_eq!(linear.create(16, 16).err(), Some(LinearError::OutOfMemory));
    }
}

/// What video memory holds before anything is shown.
fn swapped_if(order: Order, _: u32, _: u32) -> u32 {
    match order {
        Order::Bgr => NOTHING,
        Order::Rgb => swapped(NOTHING),
    }
}

#[test]
fn a_console_shows_its_picture() {
    let screen = Screen::new(40, 30, 48, Order::Bgr);
    let mut picture = Picture::new(screen.memory, screen.mode).unwrap();
    assert_eq!(
        picture.present((40, 30), Rectangle::of(40, 30)),
        Err(LinearError::Invalid)
    );
    assert!(!picture.reserve(0) && !picture.reserve(usize::MAX));
    assert!(picture.reserve(40 * 20));
    let len = picture.pixels().len();
    assert!(len >= 40 * 20);
    for (index, pixel) in picture.pixels().iter_mut().take(800).enumerate() {
        *pixel = colour(index as u32 % 40, index as u32 / 40);
    }
    let part = Rectangle::of(1, 1);
    picture.present((40, 20), part).unwrap();
    let all = |x, y| if y < 20 { colour(x, y) } else { 0 };
    screen.check(&all);
    picture.pixels()[..800].fill(9);
    picture.present((40, 20), part).unwrap();
    screen.check(&|x, y| if (x, y) == (0, 0) { 9 } else { all(x, y) });
    picture.forget();
    picture.present((40, 20), part).unwrap();
    screen.check(&|_, y| if y < 20 { 9 } else { 0 });
    let many = (40, len as u32 / 40 + 1);
    assert_eq!(picture.present(many, part), Err(LinearError::Invalid));
    screen.memory.limit(0);
    assert!(picture.reserve(len) && !picture.reserve(len + 1));
}

proptest! {
    #[test]
    fn any_text_has_a_meaning(text in vec(any::<u8>(), 0..60)) {
        let _ = Mode::parse(&text);
    }

    #[test]
    fn an_accepted_mode_is_sound(
        address in any::<u64>(), width in any::<u32>(), height in any::<u32>(),
        stride in any::<u32>(), small in any::<bool>(),
    ) {
        let side = |side: u32| if small { side % 9000 } else { side };
        let (width, height, stride) = (side(width), side(height), side(stride));
        let text = format!("{address:#x},{width}x{height},{stride},bgr");
        if let Ok(mode) = Mode::parse(text.as_bytes()) {
            prop_assert!(mode.width <= mode.stride && mode.bytes() <= MAX_VIDEO);
            prop_assert!(mode.address.checked_add(mode.bytes()).is_some());
            prop_assert_eq!((mode.address, mode.width), (address, width));
        }
    }

    #[test]
    fn damage_stays_inside_the_picture(
        (x, y, width, height) in (0u32..50, 0u32..50, any::<u32>(), any::<u32>()),
        rows in 16u32..30,
    ) {
        let screen = Screen::new(40, 30, 41, Order::Bgr);
        let mut linear = Linear::new(screen.memory, screen.mode).unwrap();
        let (number, pixels) = linear.create(32, rows).unwrap();
        linear.present(number, &[]).unwrap();
        let drawn: Vec<u32> = (0..32 * rows).map(|index| index + 1).collect();
        // SAFETY: all pixels of the buffer.
        unsafe { pixels.copy_from(std::ptr::NonNull::from(&drawn[..]).cast(), drawn.len()) };
        linear.present(number, &[Rectangle { x, y, width, height }]).unwrap();
        let within = |at: u32, from: u32, len: u32| at >= from && at - from < len;
        screen.check(&|column, row| match column < 32 && row < rows {
            true if within(column, x, width) && within(row, y, height) => row * 32 + column + 1,
            _ => 0,
        });
    }
}
