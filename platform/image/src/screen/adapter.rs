//! The display adapter of the console.

use alloc::boxed::Box;
use drivers::Error;
use drivers::gpu::{FrameBuffer, GpuError, Rectangle};
use drivers::linear::Picture;

/// A virtio adapter, or the firmware's frame buffer, whose commands complete at once.
pub enum Adapter {
    /// A virtio adapter.
    Virtio(Box<FrameBuffer>),
    /// The firmware's frame buffer.
    Firmware(Picture),
}

impl Adapter {
    /// See [`FrameBuffer::start`].
    pub fn start(&mut self) -> Result<(), Error> {
        match self {
            Adapter::Virtio(buffer) => buffer.start(),
            Adapter::Firmware(picture) => {
                picture.forget();
                Ok(())
            }
        }
    }

    /// See [`FrameBuffer::stop`].
    pub fn stop(&mut self) {
        if let Adapter::Virtio(buffer) = self {
            buffer.stop();
        }
    }

    /// See [`FrameBuffer::poll`].
    pub fn poll(&mut self) -> Result<(), GpuError> {
        match self {
            Adapter::Virtio(buffer) => buffer.poll(),
            Adapter::Firmware(_) => Ok(()),
        }
    }

    /// See [`FrameBuffer::is_busy`].
    pub fn is_busy(&self) -> bool {
        match self {
            Adapter::Virtio(buffer) => buffer.is_busy(),
            Adapter::Firmware(_) => false,
        }
    }

    /// See [`FrameBuffer::size`].
    pub fn size(&self) -> Option<(u32, u32)> {
        match self {
            Adapter::Virtio(buffer) => buffer.size(),
            Adapter::Firmware(picture) => {
                let mode = picture.mode();
                Some((mode.width, mode.height))
            }
        }
    }

    /// See [`FrameBuffer::take_change`].
    pub fn take_change(&mut self) -> bool {
        match self {
            Adapter::Virtio(buffer) => buffer.take_change(),
            Adapter::Firmware(_) => false,
        }
    }

    /// See [`FrameBuffer::reserve`].
    pub fn reserve(&mut self, pixels: usize) -> bool {
        match self {
            Adapter::Virtio(buffer) => buffer.reserve(pixels),
            Adapter::Firmware(picture) => picture.reserve(pixels),
        }
    }

    /// See [`FrameBuffer::pixels`].
    pub fn pixels(&mut self) -> &mut [u32] {
        match self {
            Adapter::Virtio(buffer) => buffer.pixels(),
            Adapter::Firmware(picture) => picture.pixels(),
        }
    }

    /// See [`FrameBuffer::present`].
    pub fn present(&mut self, size: (u32, u32), part: Rectangle) -> Result<(), GpuError> {
        match self {
            Adapter::Virtio(buffer) => buffer.present(size, part),
            Adapter::Firmware(picture) => {
                let shown = picture.present(size, part);
                shown.map_err(|_| GpuError::Invalid)
            }
        }
    }
}
