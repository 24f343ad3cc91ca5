type source = Nocloud | Config_drive | Ec2 | Gce | Openstack | Hetzner | Digitalocean

type t = {
  source : source;
  id : string;
  host_name : string;
  user_data : string;
  arguments : string list;
  environment : (string * string) list;
  files : (string * string) list;
}

let sources =
  [
    ("nocloud", Nocloud);
    ("config-drive", Config_drive);
    ("ec2", Ec2);
    ("gce", Gce);
    ("openstack", Openstack);
    ("hetzner", Hetzner);
    ("digitalocean", Digitalocean);
  ]

let source_to_string source = fst (Stdlib.List.find (fun (_, other) -> other = source) sources)

(* The text, or [None] if there is none. *)
let text ?(index = 0) which =
  let check = Failure.check ~operation:"instance" ~subject:"metadata" in
  match Text.fetch check (Soil_raw_machine.instance_text which index) with
  | text -> Some text
  | exception Error.Error { code = Not_found; _ } -> None

let rec texts which index =
  match text ~index which with None -> [] | Some text -> text :: texts which (index + 1)

let pairs firsts seconds = Stdlib.List.combine (texts firsts 0) (texts seconds 0)

let get () =
  match text Soil_raw.instance_source with
  | None -> None
  | Some source ->
      let one which = Stdlib.Option.value ~default:"" (text which) in
      Some
        {
          source = Stdlib.List.assoc source sources;
          id = one Soil_raw.instance_id;
          host_name = one Soil_raw.instance_host_name;
          user_data = one Soil_raw.instance_user_data;
          arguments = texts Soil_raw.instance_argument 0;
          environment = pairs Soil_raw.instance_variable_name Soil_raw.instance_variable;
          files = pairs Soil_raw.instance_file_path Soil_raw.instance_file;
        }

let file t path = Stdlib.List.assoc_opt path t.files
