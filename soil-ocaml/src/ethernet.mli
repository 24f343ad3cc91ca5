(** Raw Ethernet frames, for custom protocols. {!Net.val-interfaces} has the machine's addresses. *)

type socket = [ `Ethernet ] File_descriptor.t
(** The type for frame descriptors. *)

val open_ : ?interface:int -> int -> socket
(** [open_ ethertype] is a descriptor for the frames of this type (0x600 to 0xffff) on the interface
    with this index in {!Net.val-interfaces} (default: 0, the first): those to its own address, to
    multicast groups and to broadcast. Doesn't wait. Close it with {!File_descriptor.close}. Raises
    {!Soil.exception-Error} with [Invalid] (a type that the stack itself uses: IPv4, IPv6, ARP,
    VLAN), [Address_in_use] or [No_device]. Raises [Invalid_argument] if [ethertype] is out of
    range. *)

val send :
  ?timeout:float ->
  [> `Ethernet ] File_descriptor.t ->
  destination:Net.mac ->
  bytes ->
  int ->
  int ->
  unit
(** [send d ~destination b off len] sends the [len] bytes of [b] from [off] in one frame. Waits
    while the queue is full, for at most [timeout] seconds (default: no limit). Raises
    {!Soil.exception-Error} with [Message_too_long] or [Timed_out]. *)

type frame = {
  length : int;  (** Bytes of the payload that were stored. *)
  source : Net.mac;
  destination : Net.mac;
}
(** The type for the description of a received frame. *)

val receive : ?timeout:float -> [> `Ethernet ] File_descriptor.t -> bytes -> int -> int -> frame
(** [receive d b off len] waits for a frame, for at most [timeout] seconds (default: no limit), and
    stores the first [len] bytes of its payload in [b] from [off]. Excess bytes are lost; short
    payloads include their padding. Raises {!Soil.exception-Error} with [Timed_out]. *)
