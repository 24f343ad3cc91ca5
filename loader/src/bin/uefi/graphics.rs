//! The frame buffer of the firmware's display (UEFI 2.10, 12.9).

use loader::frame_buffer::{FrameBuffer, Order};
use uefi::Identify;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, SearchType};
use uefi::proto::console::gop::{GraphicsOutput, PixelFormat};

/// The frame buffer of the first display that has one; its mode stays as the firmware set it.
pub fn frame_buffer() -> Option<FrameBuffer> {
    let search = SearchType::ByProtocol(&GraphicsOutput::GUID);
    let handles = boot::locate_handle_buffer(search).ok()?;
    handles.iter().find_map(|handle| {
        let params = OpenProtocolParams {
            handle: *handle,
            agent: boot::image_handle(),
            controller: None,
        };
        // Not exclusive: that would take the display away from the firmware's text. SAFETY: nothing
        // changes the mode or removes the display until this returns.
        let display = unsafe {
            boot::open_protocol::<GraphicsOutput>(params, OpenProtocolAttributes::GetProtocol)
        };
        let mut display = display.ok()?;
        let mode = display.current_mode_info();
        let order = match mode.pixel_format() {
            PixelFormat::Rgb => Order::Rgb,
            PixelFormat::Bgr => Order::Bgr,
            PixelFormat::Bitmask | PixelFormat::BltOnly => return None,
        };
        let (width, height) = mode.resolution();
        let mut memory = display.frame_buffer();
        Some(FrameBuffer {
            address: memory.as_mut_ptr() as u64,
            len: memory.size() as u64,
            width: width as u64,
            height: height as u64,
            stride: mode.stride() as u64,
            order,
        })
    })
}
