let server () : Server.http2 = { run = Http2_server.run }
