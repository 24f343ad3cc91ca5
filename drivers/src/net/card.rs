//! Network cards, of any kind.

use super::{Capabilities, NetCounters, RxMeta, TxError, TxMeta};

/// A network card that a driver drives, with one receive and one transmit queue. Dropping it resets
/// the card.
///
/// Frames are Ethernet frames without a frame check sequence. No function blocks.
pub trait Card: Send {
    /// The negotiated capabilities, which don't change.
    fn capabilities(&self) -> &Capabilities;

    /// False once the card broke the protocol: the driver has reset it, and the card is out of use.
    fn is_running(&self) -> bool;

    /// Counters of frames.
    fn counters(&self) -> NetCounters;

    /// Passes the next received frame to `deliver`, which may modify it in place; its buffer
    /// returns to the card afterwards. Returns false if there is none (or the card is out of use).
    /// Never blocks; skips invalid frames, and examines at most as many frames as there are
    /// buffers.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool;

    /// Whether the next [`transmit`](Card::transmit) finds room, for any length. If not, and the
    /// caller calls [`enable_interrupts`](Card::enable_interrupts) before waiting, an interrupt
    /// signals room. Never blocks.
    fn can_transmit(&mut self) -> bool;

    /// Queues a frame of `len` bytes that `fill` writes and describes. `fill` must write all of it,
    /// since the buffer holds old data. The frame is guaranteed to be sent only after
    /// [`flush`](Card::flush). Never blocks; calls `fill` only if there is room.
    ///
    /// # Errors
    ///
    /// See [`TxError`].
    fn transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<(), TxError>;

    /// Notifies the card of the frames queued since the last call: at most one exit, none if the
    /// card is processing the queue anyway.
    fn flush(&mut self);

    /// Whether the card has completed every frame that it was notified of, or is out of use. Never
    /// blocks.
    fn is_drained(&mut self) -> bool;

    /// Whether there is a frame to [`receive`](Card::receive), or room again after
    /// [`transmit`](Card::transmit) found none. No exit.
    fn has_pending(&self) -> bool;

    /// Call before waiting. Gives the card all free receive buffers and requests an interrupt at
    /// the next frame and, if [`transmit`](Card::transmit) found no room, when half of the frames
    /// in flight are sent. Returns true if there is already a frame or room: don't wait.
    ///
    /// This is the driver's only interrupt moderation; there is no timer. No interrupt arrives
    /// while there is work, and one interrupt covers all events until the next call. The card
    /// interrupts for transmitted frames only when a transmission is waiting for room, and then
    /// once per half ring if it supports `VIRTIO_F_EVENT_IDX` (virtio 1.2, 2.7.10).
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    fn enable_interrupts(&mut self) -> bool;

    /// Disables interrupts while there is work anyway; some may still arrive.
    fn disable_interrupts(&mut self);
}
