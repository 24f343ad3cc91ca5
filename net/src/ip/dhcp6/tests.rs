use super::Client;
