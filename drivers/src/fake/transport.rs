//! A transport whose other end is in the same process.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::lock::lock;
use super::{DeviceQueue, HostMemory};
use crate::Error;
use crate::device::feature;
use crate::device_type::DeviceType;
use crate::transport::{Interrupt, QueueAddresses, QueueSize, Status, Transport};

/// The behavior of a device.
pub trait Backend: core::any::Any + Send {
    /// Its type.
    fn device_type(&self) -> DeviceType;
    /// The features of its type; [`Options::features`] are those of the queues.
    fn features(&self) -> u64;
    /// Its configuration space.
    fn config(&self) -> Vec<u8>;
    /// Called after a write to the configuration space; most devices have nothing to write there.
    fn write_config(&mut self, _offset: usize, _value: u32) {}
    /// Called at a reset.
    fn reset(&mut self) {}
    /// The maximum size of each of its queues.
    fn queues(&self) -> Vec<u16>;
    /// Works: takes and completes requests. Called when a doorbell rings and by [`Handle::step`].
    fn work(&mut self, memory: &'static HostMemory, features: u64, queues: &mut [DeviceQueue]);
}

/// What a device's sizes of queues mean to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Maxima.
    AtMost,
    /// The only ones (legacy PCI).
    Exactly,
}

/// Properties of a device beside its behavior.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The queue features that it offers.
    pub features: u64,
    /// It is older than virtio 1.0.
    pub legacy: bool,
    /// What the sizes of its queues mean to the driver.
    pub sizes: Sizes,
    /// It never comes out of reset once it has been started.
    pub never_resets: bool,
    /// It rejects all features.
    pub rejects_features: bool,
    /// It works only when [`Handle::step`] is called, not at the doorbell.
    pub only_steps: bool,
}

impl Options {
    /// The variants of a virtio 1.0 device's queues: with all features, with none, and without
    /// indirect descriptors.
    pub fn modern() -> [Self; 3] {
        let all = Self::default();
        let none = feature::VERSION_1;
        let offering = |features| Self { features, ..all };
        [all, offering(none), offering(none | feature::EVENT_IDX)]
    }

    /// A device behind legacy PCI, whose queues have the sizes of the device.
    pub fn legacy_pci(features: u64) -> Self {
        Self {
            features,
            legacy: true,
            sizes: Sizes::Exactly,
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            features: feature::VERSION_1 | feature::EVENT_IDX | feature::INDIRECT_DESC,
            legacy: false,
            sizes: Sizes::AtMost,
            never_resets: false,
            rejects_features: false,
            only_steps: false,
        }
    }
}

struct Model {
    memory: &'static HostMemory,
    backend: Box<dyn Backend>,
    options: Options,
    status: Status,
    accepted: u64,
    queues: Vec<DeviceQueue>,
    resets: usize,
    started: bool,
}

impl Model {
    fn work(&mut self) {
        if self.status.contains(Status::DRIVER_OK) {
            self.backend
                .work(self.memory, self.accepted, &mut self.queues);
        }
    }
}

/// The driver's end.
pub struct FakeTransport {
    model: Arc<Mutex<Model>>,
}

/// The test's end: access to the device.
pub struct Handle<B> {
    model: Arc<Mutex<Model>>,
    backend: core::marker::PhantomData<B>,
}

/// Creates a transport to `backend`.
pub fn connect<B: Backend>(
    memory: &'static HostMemory,
    backend: B,
    options: Options,
) -> (FakeTransport, Handle<B>) {
    let queues = backend
        .queues()
        .into_iter()
        .map(|max| DeviceQueue::new(memory, max))
        .collect();
    let model = Arc::new(Mutex::new(Model {
        memory,
        backend: Box::new(backend),
        options,
        status: Status::empty(),
        accepted: 0,
        queues,
        resets: 0,
        started: false,
    }));
    (
        FakeTransport {
            model: model.clone(),
        },
        Handle {
            model,
            backend: core::marker::PhantomData,
        },
    )
}

impl<B: Backend> Handle<B> {
    /// Accesses the device.
    ///
    /// # Panics
    ///
    /// Never: the handle belongs to a device of this type.
    pub fn with<R>(&self, f: impl FnOnce(&mut B) -> R) -> R {
        let mut model = lock(&self.model);
        let backend: &mut dyn core::any::Any = &mut *model.backend;
        f(backend
            .downcast_mut::<B>()
            .expect("the device that was connected"))
    }

    /// Changes the device's properties.
    pub fn set_options(&self, options: Options) {
        lock(&self.model).options = options;
    }

    /// Accesses a queue.
    pub fn queue<R>(&self, index: usize, f: impl FnOnce(&mut DeviceQueue) -> R) -> R {
        f(&mut lock(&self.model).queues[index])
    }

    /// Lets the device work.
    pub fn step(&self) {
        lock(&self.model).work();
    }

    /// Number of resets.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// The features that the driver accepted.
    pub fn accepted(&self) -> u64 {
        lock(&self.model).accepted
    }

    /// The status that the driver wrote.
    pub fn status(&self) -> Status {
        lock(&self.model).status
    }
}

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        lock(&self.model).backend.device_type()
    }

    fn is_legacy(&self) -> bool {
        lock(&self.model).options.legacy
    }

    fn device_features(&mut self) -> u64 {
        let model = lock(&self.model);
        model.backend.features() | model.options.features
    }

    fn set_driver_features(&mut self, features: u64) {
        let mut model = lock(&self.model);
        let offered = model.backend.features() | model.options.features;
        assert_eq!(
            features & !offered,
            0,
            "the driver accepted what was not offered"
        );
        model.accepted = features;
    }

    fn status(&self) -> Status {
        lock(&self.model).status
    }

    fn set_status(&mut self, status: Status) {
        let mut model = lock(&self.model);
        if status.is_empty() {
            model.resets += 1;
            if model.options.never_resets && model.started {
                return;
            }
            model.queues.iter_mut().for_each(DeviceQueue::reset);
            model.backend.reset();
        }
        model.started |= status.contains(Status::DRIVER_OK);
        model.status = status;
        if model.options.rejects_features {
            model.status.remove(Status::FEATURES_OK);
        }
    }

    fn queue_size(&mut self, queue: u16) -> Option<QueueSize> {
        let model = lock(&self.model);
        let size = model.queues.get(usize::from(queue))?.max_size;
        match (size, model.options.sizes) {
            (0, _) => None,
            (size, Sizes::AtMost) => Some(QueueSize::AtMost(size)),
            (size, Sizes::Exactly) => Some(QueueSize::Exactly(size)),
        }
    }

    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        let mut model = lock(&self.model);
        let event_idx = model.accepted & feature::EVENT_IDX != 0;
        let sizes = model.options.sizes;
        let page = if model.options.legacy { 4096 } else { 16 };
        assert!(addresses.descriptors.is_multiple_of(page) && addresses.size.is_power_of_two());
        assert!(addresses.device.is_multiple_of(page.min(4096)) || !model.options.legacy);
        let slot = model
            .queues
            .get_mut(usize::from(queue))
            .ok_or(Error::NoQueue(queue))?;
        let fits = match sizes {
            Sizes::AtMost => addresses.size <= slot.max_size,
            Sizes::Exactly => addresses.size == slot.max_size,
        };
        assert!(fits, "another size of the queue than was offered");
        slot.activate(*addresses, event_idx, 0);
        slot.ask_for_notification();
        Ok(())
    }

    fn notify(&self, queue: u16) {
        let mut model = lock(&self.model);
        if let Some(queue) = model.queues.get_mut(usize::from(queue)) {
            queue.notifications += 1;
        }
        if !model.options.only_steps {
            model.work();
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }

    fn config_generation(&self) -> u32 {
        0
    }

    fn read_config(&self, offset: usize, size: usize) -> Option<u32> {
        let config = lock(&self.model).backend.config();
        let field = config.get(offset..offset.checked_add(size)?)?;
        let bytes = field.iter().rev();
        Some(bytes.fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn write_config(&self, offset: usize, size: usize, value: u32) -> Option<()> {
        let mut model = lock(&self.model);
        let len = model.backend.config().len();
        if offset.checked_add(size)? > len {
            return None;
        }
        model.backend.write_config(offset, value);
        Some(())
    }
}
