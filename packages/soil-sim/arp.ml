let ethertype = 0x0806
let length = 42

let asked frame =
  let is_request =
    String.length frame >= length
    && String.get_uint16_be frame 12 = ethertype
    && String.get_uint16_be frame 20 = 1
  in
  if is_request then Some (String.sub frame 38 4) else None

let reply ~mac request =
  let asker = String.sub request 22 10 and address = String.sub request 38 4 in
  String.concat ""
    [
      String.sub request 6 6;
      mac;
      "\x08\x06";
      "\x00\x01\x08\x00\x06\x04\x00\x02";
      mac;
      address;
      asker;
    ]
