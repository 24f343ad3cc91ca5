let add options =
  ignore (Settings.check "tls" "Mozilla's roots" (Soil_raw_tls_roots.tls_trust_mozilla options))

let roots = Settings.roots add
