(** Raw Ethernet frames, for protocols of one's own beside IP.

    Addresses are written as ["02:00:00:00:00:01"]; the own one is in {!Net.val-interfaces}. *)

val open_ : ?interface:int -> int -> File_descriptor.t
(** [open_ ethertype] is a descriptor (kind [Ethernet]) for the frames of this type (0x600 to
    0xffff) on the interface with this place in {!Net.val-interfaces} (default: 0, the first): those
    to its own address, to groups and to all. Doesn't wait. Close it with {!File_descriptor.close}.
    Raises {!Soil.exception-Error} with [Invalid] (a type of the machine's own: IPv4, IPv6, ARP,
    VLAN), [Address_in_use] or [No_device]. Raises [Invalid_argument] if [ethertype] is out of
    range. *)

val broadcast : string
(** [broadcast] is the address of all on the link. *)

val send : ?timeout:float -> File_descriptor.t -> destination:string -> bytes -> int -> int -> unit
(** [send d ~destination b off len] sends the [len] bytes of [b] from [off] in one frame. Waits
    while the queue is full, for at most [timeout] seconds (default: no limit). Raises
    {!Soil.exception-Error} with [Message_too_long] or [Timed_out]. Raises [Invalid_argument] if
    [destination] isn't an address. *)

type frame = {
  length : int;  (** Bytes of the payload that were stored. *)
  source : string;
  destination : string;
}
(** The type for what is known of a frame that was received. *)

val receive : ?timeout:float -> File_descriptor.t -> bytes -> int -> int -> frame
(** [receive d b off len] waits for a frame, for at most [timeout] seconds (default: no limit; after
    them it raises {!Soil.exception-Error} with [Timed_out]), and stores the first [len] bytes of
    its payload in [b] from [off]. What doesn't fit is lost; short payloads come with their padding.
*)
