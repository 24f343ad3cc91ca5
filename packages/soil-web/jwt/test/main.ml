let () =
  Alcotest.run "soil-web.jwt"
    [
      ("vectors", Test_vectors.tests);
      ("attacks", Test_attacks.tests);
      ("claims", Test_claims.tests);
      ("jwk", Test_jwk.tests);
      ("jwks", Test_jwks.tests);
      ("wycheproof", Test_wycheproof.tests);
    ]
