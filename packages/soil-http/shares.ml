module T = Soil.Task

(* A tree, in which no choice of keys makes a look-up long. *)
module Keys = Map.Make (String)

type share = { room : T.Semaphore.t; mutable users : int (* That hold a place or wait. *) }
type t = { max : int; mutable shares : share Keys.t }

let create max = { max; shares = Keys.empty }

let share_of t key =
  match Keys.find_opt key t.shares with
  | Some share -> share
  | None ->
      let share = { room = T.Semaphore.create t.max; users = 0 } in
      t.shares <- Keys.add key share t.shares;
      share

let drop t key share =
  share.users <- share.users - 1;
  if share.users = 0 then t.shares <- Keys.remove key t.shares

let acquire share ~seconds =
  T.Semaphore.try_acquire share.room
  || (seconds > 0. && T.timeout_opt seconds (fun () -> T.Semaphore.acquire share.room) = Some ())

let take t key ~seconds =
  match key with
  | None -> Some ignore
  | Some key -> (
      let share = share_of t key in
      share.users <- share.users + 1;
      match
        Soil.Private.undoing (fun () -> drop t key share) (fun () -> acquire share ~seconds)
      with
      | true ->
          let is_held = ref true in
          Some
            (fun () ->
              if !is_held then (
                is_held := false;
                T.Semaphore.release share.room;
                drop t key share))
      | false ->
          drop t key share;
          None)
