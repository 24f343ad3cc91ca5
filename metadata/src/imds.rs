//! Clients of metadata services, as state machines over requests and responses: the caller makes
//! the connections, to [`ADDRESS`], one for each request.
//!
//! Identifier, host name and user data are read. Addresses come from DHCP, by which the service is
//! reached. Redirections are not followed.
//!
//! Sources: AWS, "Use the Instance Metadata Service" (version 2; Firecracker's MMDS and OpenStack
//! imitate it, the latter without tokens); Google, "About VM metadata"; nova, "Metadata service";
//! Hetzner, "Server Metadata"; DigitalOcean as cloud-init's source of that name reads it.

use crate::http::Response;
use crate::value::text_at;
use crate::{Error, Instance, Source, base64, config_drive};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use serde_json::Value;

/// The address of all services, link-local (RFC 3927).
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The port of all services.
pub const PORT: u16 = 80;

/// Maximum number of bytes of a token.
const MAX_TOKEN: usize = 1024;

/// The order in which [`Client::any`] tries the services. EC2's is last: others imitate it.
const ALL: [Source; 5] = [
    Source::Gce,
    Source::Hetzner,
    Source::DigitalOcean,
    Source::OpenStack,
    Source::Ec2,
];

/// A document of a service.
struct Document {
    path: &'static str,
    /// The service doesn't exist without it.
    required: bool,
}

const fn required(path: &'static str) -> Document {
    Document {
        path,
        required: true,
    }
}

const fn optional(path: &'static str) -> Document {
    Document {
        path,
        required: false,
    }
}

/// The documents of a service, in the order of the requests.
fn documents(service: Source) -> &'static [Document] {
    match service {
        Source::Ec2 => {
            const {
                &[
                    required("/latest/meta-data/instance-id"),
                    optional("/latest/meta-data/local-hostname"),
                    optional("/latest/user-data"),
                ]
            }
        }
        Source::Gce => {
            const {
                &[
                    required("/computeMetadata/v1/instance/id"),
                    optional("/computeMetadata/v1/instance/hostname"),
                    optional("/computeMetadata/v1/instance/attributes/user-data"),
                    optional("/computeMetadata/v1/instance/attributes/user-data-encoding"),
                ]
            }
        }
        Source::OpenStack => {
            const {
                &[
                    required("/openstack/latest/meta_data.json"),
                    optional("/openstack/latest/user_data"),
                ]
            }
        }
        Source::Hetzner => {
            const {
                &[
                    required("/hetzner/v1/metadata/instance-id"),
                    optional("/hetzner/v1/metadata/hostname"),
                    optional("/hetzner/v1/userdata"),
                ]
            }
        }
        Source::DigitalOcean => const { &[required("/metadata/v1.json")] },
        Source::NoCloud | Source::ConfigDrive => &[],
    }
}

/// What follows a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The next [`Client::request`].
    Request,
    /// The same request again, after a pause: the service is busy.
    Retry,
    /// All documents were read.
    Done(Box<Instance>),
}

/// A client.
#[derive(Debug)]
pub struct Client {
    service: Source,
    /// The services to try if this one doesn't exist.
    others: &'static [Source],
    /// EC2's token comes first.
    token: Token,
    /// The documents so far: `None` for a missing one.
    read: Vec<Option<Vec<u8>>>,
}

#[derive(Debug)]
enum Token {
    Wanted,
    None,
    Some(String),
}

impl Client {
    /// A client of the service called `name` in `SOIL_METADATA`: `auto` tries all. `None` for
    /// another word.
    pub fn new(name: &str) -> Option<Self> {
        if name == "auto" {
            let (first, others) = ALL.split_first()?;
            return Some(Self::of(*first, others));
        }
        let service = ALL.iter().find(|service| service.name() == name)?;
        Some(Self::of(*service, &[]))
    }

    fn of(service: Source, others: &'static [Source]) -> Self {
        Self {
            service,
            others,
            token: match service {
                Source::Ec2 => Token::Wanted,
                _ => Token::None,
            },
            read: Vec::new(),
        }
    }

    /// The service that is asked now.
    pub fn service(&self) -> Source {
        self.service
    }

    /// The bytes of the next request.
    pub fn request(&self) -> Vec<u8> {
        let document = documents(self.service).get(self.read.len());
        let path = document.map_or("/", |document| document.path);
        let (method, path, header) = match &self.token {
            // Six hours: the longest, and of no importance.
            Token::Wanted => (
                "PUT",
                "/latest/api/token",
                String::from(
                    "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\n",
                ),
            ),
            Token::Some(token) => (
                "GET",
                path,
                format!("X-aws-ec2-metadata-token: {token}\r\n"),
            ),
            Token::None if self.service == Source::Gce => {
                ("GET", path, String::from("Metadata-Flavor: Google\r\n"))
            }
            Token::None => ("GET", path, String::new()),
        };
        let host = match self.service {
            Source::Gce => "metadata.google.internal",
            _ => "169.254.169.254",
        };
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n")
            .into_bytes()
    }

    /// Takes the response to [`Client::request`].
    ///
    /// # Errors
    /// One line: the service doesn't exist, or its documents can't be read.
    pub fn answer(&mut self, response: Response) -> Result<Next, Error> {
        let status = response.status;
        if status == 429 || status >= 500 && status != 501 {
            return Ok(Next::Retry);
        }
        if matches!(self.token, Token::Wanted) {
            return self.take_token(response);
        }
        let Some(document) = documents(self.service).get(self.read.len()) else {
            return self
                .instance()
                .map(|instance| Next::Done(Box::new(instance)));
        };
        // A proxy doesn't add Google's header.
        let foreign = self.service == Source::Gce && !response.of_google;
        let found = match status {
            200 if !foreign => Some(response.body),
            204 if !foreign => Some(Vec::new()),
            404 if !document.required => None,
            _ => return self.fail(document.path, status),
        };
        self.read.push(found);
        if self.read.len() < documents(self.service).len() {
            return Ok(Next::Request);
        }
        self.instance()
            .map(|instance| Next::Done(Box::new(instance)))
    }

    fn take_token(&mut self, response: Response) -> Result<Next, Error> {
        self.token = match response.status {
            200 => {
                let token = core::str::from_utf8(&response.body).ok().map(str::trim);
                let token = token.filter(|token| {
                    let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
                    !token.is_empty() && token.len() <= MAX_TOKEN && printable
                });
                let token = token.ok_or_else(|| Error::new("ec2: not a token"))?;
                Token::Some(String::from(token))
            }
            // A service without tokens.
            400 | 404 | 405 | 501 => Token::None,
            status => return self.fail("/latest/api/token", status),
        };
        Ok(Next::Request)
    }

    /// Goes on with the next service, if this one was only tried.
    fn fail(&mut self, path: &str, status: u16) -> Result<Next, Error> {
        match self.others.split_first() {
            Some((next, others)) if self.read.is_empty() => {
                *self = Self::of(*next, others);
                Ok(Next::Request)
            }
            _ => {
                let name = self.service.name();
                Err(Error::new(format!("{name}: status {status} for {path}")))
            }
        }
    }

    fn instance(&mut self) -> Result<Instance, Error> {
        let mut documents = core::mem::take(&mut self.read).into_iter();
        let mut next = || documents.next().flatten();
        let text = |bytes: Option<Vec<u8>>| {
            String::from(String::from_utf8_lossy(&bytes.unwrap_or_default()).trim())
        };
        let mut instance = Instance::new(self.service);
        let user_data = match self.service {
            Source::Ec2 | Source::Hetzner => {
                instance.set_id(&text(next()));
                instance.set_host_name(&text(next()));
                next()
            }
            Source::Gce => {
                instance.set_id(&text(next()));
                // As cloud-init: the name alone, since the whole one exceeds what Linux allows.
                let name = text(next());
                instance.set_host_name(name.split('.').next().unwrap_or_default());
                let user_data = next();
                match text(next()).as_str() {
                    "" => user_data,
                    "base64" => Some(
                        base64::decode(&user_data.unwrap_or_default())
                            .ok_or_else(|| Error::new("gce: user data that is not base64"))?,
                    ),
                    other => {
                        instance.ignore(format!("user data in the encoding \"{other}\""));
                        None
                    }
                }
            }
            Source::OpenStack => {
                config_drive::take_metadata(&mut instance, &next().unwrap_or_default())
                    .map_err(|error| error.within("openstack"))?;
                next()
            }
            Source::DigitalOcean => {
                let metadata: Value = serde_json::from_slice(&next().unwrap_or_default())
                    .map_err(|error| Error::new(format!("digitalocean: not JSON: {error}")))?;
                if let Some(id) = text_at(&metadata, "droplet_id") {
                    instance.set_id(&id);
                }
                if let Some(name) = text_at(&metadata, "hostname") {
                    instance.set_host_name(&name);
                }
                text_at(&metadata, "user_data").map(String::into_bytes)
            }
            Source::NoCloud | Source::ConfigDrive => None,
        };
        if let Some(user_data) = user_data {
            instance.set_user_data(user_data);
        }
        Ok(instance)
    }
}

#[cfg(test)]
mod tests;
