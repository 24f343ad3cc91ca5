//! Named ports of virtio-serial devices.

use crate::{Image, Interest, Source, devices};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use drivers::console::{self, Console};
use drivers::device_type::DeviceType;
use kernel::devices::MEMORY;
use kernel::guarded::Guarded;
use platform::port::Port;

/// A device, shared between its user and the wait, which arms its interrupts.
struct Shared(Guarded<Console>);

impl Source for Shared {
    fn has_pending(&self) -> bool {
        // Before the sleep `arm` finds what there is: ports needn't be polled.
        false
    }

    fn arm(&self) -> bool {
        // If another thread's call uses the device, it has to be waited for.
        let console = self.0.try_lock();
        console.is_none_or(|mut console| console.enable_interrupts())
    }
}

/// A device's port, and how often the host had opened it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Found {
    device: usize,
    port: console::Port,
    opens: u32,
}

/// A port by its name, on any of the devices: they may add and remove it.
struct NamedPort {
    name: &'static str,
    devices: Vec<Rc<Shared>>,
    found: Option<Found>,
}

impl platform::Ports for Image {
    const HAS_PORTS: bool = true;

    fn port(name: &'static str) -> Option<Box<dyn Port<Image>>> {
        let mut devices = Vec::new();
        for found in devices::take(DeviceType::CONSOLE) {
            match Console::new(found.transport, MEMORY) {
                Ok(console) => devices.push(Rc::new(Shared(Guarded::new(console)))),
                Err(error) => log::error!("console at {}: {error}", found.place),
            }
        }
        let found = None;
        (!devices.is_empty()).then(|| {
            Box::new(NamedPort {
                name,
                devices,
                found,
            }) as Box<dyn Port<Image>>
        })
    }
}

impl NamedPort {
    /// Runs `f` on the device that has the port; 0 if none has it or the device is out of use.
    fn with(
        &self,
        f: impl FnOnce(&mut Console, console::Port) -> Result<usize, drivers::Error>,
    ) -> usize {
        let device = |found: Found| Some((self.devices.get(found.device)?, found.port));
        let Some((device, port)) = self.found.and_then(device) else {
            return 0;
        };
        f(&mut device.0.lock(), port).unwrap_or(0)
    }

    /// The port, opened by the driver, on the first device that has it.
    fn find(&self) -> Option<Found> {
        let mut devices = self.devices.iter().enumerate();
        devices.find_map(|(device, shared)| {
            let mut console = shared.0.lock();
            // The driver has logged a device that broke the protocol.
            console.poll().ok()?;
            let port = console.port(self.name.as_bytes())?;
            console.set_open(port, true);
            console.poll().ok()?;
            // Takes back the buffers that the device has sent: they would end each sleep at once.
            console.is_idle(port);
            let opens = console.host_opens(port);
            Some(Found {
                device,
                port,
                opens,
            })
        })
    }
}

impl Port<Image> for NamedPort {
    fn read(&mut self, into: &mut [u8]) -> usize {
        self.with(|console, port| console.read(port, into))
    }

    fn write(&mut self, from: &[u8]) -> usize {
        self.with(|console, port| console.write(port, from))
    }

    fn take_opened(&mut self) -> bool {
        let found = self.find();
        core::mem::replace(&mut self.found, found) != found
    }

    fn arm(&mut self, interest: &mut Interest, reads: bool) {
        self.with(|console, port| {
            console.hold_input(port, !reads);
            Ok(0)
        });
        for device in &self.devices {
            interest.source(Rc::clone(device) as Rc<dyn Source>);
        }
    }
}
