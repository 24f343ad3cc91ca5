let client ?protocol () =
  ignore protocol;
  failwith "later"
