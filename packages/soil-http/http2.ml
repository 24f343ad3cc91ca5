let server () : Server.http2 = { run = Http2_server.run }
let client = Http2_client.client
