use super::{Interface, Network, read, read_openstack};
use proptest::prelude::{any, proptest};
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Reads a configuration, and returns what was ignored.
fn noted(text: &str) -> (Network, Vec<String>) {
    let mut ignored = Vec::new();
    let network = read(text.as_bytes(), &mut |note| ignored.push(note));
    (
        network.unwrap_or_else(|error| panic!("{error}\n{text}")),
        ignored,
    )
}

fn openstack(text: &str) -> (Network, Vec<String>) {
    let mut ignored = Vec::new();
    let network = read_openstack(text.as_bytes(), &mut |note| ignored.push(note));
    (
        network.unwrap_or_else(|error| panic!("{error}\n{text}")),
        ignored,
    )
}

fn refused(text: &str) -> String {
    read(text.as_bytes(), &mut |_| ())
        .expect_err(text)
        .to_string()
}

/// The two examples of cloud-init's page on NoCloud describe the same interface.
#[test]
fn the_examples_of_nocloud() {
    let first = "\
version: 1
config:
   - type: physical
     name: interface0
     mac_address: \"52:54:00:12:34:00\"
     subnets:
        - type: static
          address: 192.168.1.10
          netmask: 255.255.255.0
          gateway: 192.168.1.254
";
    let second = "\
version: 2
ethernets:
  interface0:
    match:
      macaddress: \"52:54:00:12:34:00\"
    set-name: interface0
    addresses:
      - 192.168.1.10/255.255.255.0
    gateway4: 192.168.1.254
";
    let wanted = Network {
        interfaces: vec![Interface {
            name: "interface0".into(),
            mac: Some([0x52, 0x54, 0, 0x12, 0x34, 0]),
            addresses: vec![(ip("192.168.1.10"), 24)],
            gateways: vec![ip("192.168.1.254")],
            ..Interface::default()
        }],
        ..Network::default()
    };
    assert_eq!(noted(first), (wanted.clone(), vec![]));
    assert_eq!(noted(second), (wanted.clone(), vec![]));
    let indented: String = first.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(noted(&format!("network:\n{indented}")), (wanted, vec![]));
}

/// "This is a complex example which shows most available features" of the page on version 2.
#[test]
fn the_complex_example_of_version_2() {
    let text = "\
network:
  version: 2
  ethernets:
    # opaque ID for physical interfaces, only referred to by other stanzas
    id0:
      match:
        macaddress: '00:11:22:33:44:55'
      wakeonlan: true
      dhcp4: true
      addresses:
        - 192.168.14.2/24
        - 2001:1::1/64
      gateway4: 192.168.14.1
      gateway6: 2001:1::2
      nameservers:
        search: [foo.local, bar.local]
        addresses: [8.8.8.8]
      # static routes
      routes:
        - to: 192.0.2.0/24
          via: 11.0.0.1
          metric: 3
    lom:
      match:
        driver: ixgbe
      # you are responsible for setting tight enough match rules
      # that only match one device if you use set-name
      set-name: lom1
      dhcp6: true
    switchports:
      # all cards on second PCI bus; unconfigured by themselves, will be added
      # to br0 below
      match:
        name: enp2*
      mtu: 1280
  bonds:
    bond0:
      interfaces: [id0, lom]
  bridges:
    # the key name is the name for virtual (created) interfaces; no match: and
    # set-name: allowed
    br0:
      # IDs of the components; switchports expands into multiple interfaces
      interfaces: [wlp1s0, switchports]
      dhcp4: true
  vlans:
    en-intra:
      id: 1
      link: id0
      dhcp4: yes
";
    let (network, ignored) = noted(text);
    assert_eq!(
        network.interfaces[0],
        Interface {
            name: "id0".into(),
            mac: Some([0, 0x11, 0x22, 0x33, 0x44, 0x55]),
            dhcp: true,
            slaac: false,
            addresses: vec![(ip("192.168.14.2"), 24), (ip("2001:1::1"), 64)],
            gateways: vec![ip("192.168.14.1"), ip("2001:1::2")],
            dns_servers: vec![ip("8.8.8.8")],
        }
    );
    assert_eq!(
        (&*network.interfaces[1].name, network.interfaces[1].slaac),
        ("lom1", true)
    );
    assert_eq!(network.dns_search, ["foo.local", "bar.local"]);
    let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
    assert_eq!(
        ignored,
        [
            "the network configuration's bonds, bridges, vlans",
            "the network configuration's wakeonlan of \"id0\"",
            "the network configuration's route to \"192.0.2.0/24\"",
            "the network configuration's driver in the match of \"lom\"",
            "the network configuration's mtu of \"switchports\"",
            "the network configuration's match of \"switchports\" to the name \"enp2*\"",
        ]
    );
}

#[test]
fn version_1_has_name_servers_routes_and_several_subnets() {
    let text = "\
network:
  version: 1
  config:
    - type: physical
      name: interface0
      mac_address: 00:11:22:33:44:55
      subnets:
        - type: dhcp
        - type: static
          address: 192.168.23.14/27
          dns_nameservers:
            - 192.168.23.2
            - 8.8.8.8
          dns_search:
            - exemplary.maas
          routes:
            - gateway: 192.168.23.1
              netmask: 0.0.0.0
              network: 0.0.0.0
            - gateway: 10.0.0.1
              netmask: 255.0.0.0
              network: 10.0.0.0
    - type: nameserver
      interface: interface0
      address: [192.168.23.2, '2001:db8::1']
      search: exemplary
    - type: bond
      name: bond0
    - type: route
      destination: 192.168.24.0/24
      gateway: 192.168.24.1
";
    let (network, ignored) = noted(text);
    let interface = &network.interfaces[0];
    assert!(interface.dhcp && !interface.slaac);
    assert_eq!(interface.addresses, [(ip("192.168.23.14"), 27)]);
    assert_eq!(interface.gateways, [ip("192.168.23.1")]);
    // A name server of an interface is added to its own.
    let servers = ["192.168.23.2", "8.8.8.8", "2001:db8::1"].map(ip);
    assert_eq!(interface.dns_servers, servers);
    assert!(network.dns_servers.is_empty());
    assert_eq!(network.dns_search, ["exemplary.maas", "exemplary"]);
    assert_eq!(
        ignored,
        [
            "the network configuration's route to \"10.0.0.0\"",
            "the network configuration's \"bond\"",
            "the network configuration's route to \"192.168.24.0/24\""
        ]
    );
}

/// From cloud-init's tests of the config drive (`NETWORK_DATA_3`).
#[test]
fn openstacks_document() {
    let text = r#"{
  "services": [
    {"type": "dns", "address": "172.16.36.11"}, {"type": "dns", "address": "172.16.36.12"}
  ],
  "networks": [
    {"network_id": "7c41450c-ba44-401a-9ab1-1604bb2da51e", "type": "ipv4",
     "netmask": "255.255.255.128", "link": "tap77a0dc5b-72", "ip_address": "172.17.48.18",
     "id": "network0",
     "routes": [{"netmask": "0.0.0.0", "network": "0.0.0.0", "gateway": "172.17.48.1"}]},
    {"network_id": "7c41450c-ba44-401a-9ab1-1604bb2da51e", "type": "ipv6",
     "netmask": "ffff:ffff:ffff:ffff::", "link": "tap77a0dc5b-72",
     "ip_address": "fdb8:52d0:9d14:0:f816:3eff:fe9f:70d", "id": "network1",
     "routes": [{"netmask": "::", "network": "::", "gateway": "fdb8:52d0:9d14::1"}]},
    {"network_id": "1f53cb0e-72d3-47c7-94b9-ff4397c5fe54", "type": "ipv4_dhcp",
     "link": "tap7d6b7bec-93", "id": "network2"}
  ],
  "links": [
    {"ethernet_mac_address": "fa:16:3e:dd:50:9a", "mtu": null, "type": "tap",
     "id": "tap77a0dc5b-72", "vif_id": "77a0dc5b-720e-41b7-bfa7-1b2ff62e0d48"},
    {"ethernet_mac_address": "fa:16:3e:a8:14:69", "mtu": null, "type": null,
     "id": "tap7d6b7bec-93", "vif_id": "7d6b7bec-93e6-4c03-869a-ddc5014892d5"},
    {"bond_links": ["eth0", "eth1"], "type": "bond", "id": "bond0"}
  ]
}"#;
    let (network, ignored) = openstack(text);
    let [first, second] = &network.interfaces[..] else {
        panic!("{network:?}");
    };
    assert_eq!(first.mac, Some([0xfa, 0x16, 0x3e, 0xdd, 0x50, 0x9a]));
    let address = ip("fdb8:52d0:9d14:0:f816:3eff:fe9f:70d");
    assert_eq!(first.addresses, [(ip("172.17.48.18"), 25), (address, 64)]);
    assert_eq!(first.gateways, [ip("172.17.48.1"), ip("fdb8:52d0:9d14::1")]);
    assert!(second.dhcp && second.addresses.is_empty());
    assert_eq!(
        network.dns_servers,
        [ip("172.16.36.11"), ip("172.16.36.12")]
    );
    assert_eq!(
        ignored,
        ["network_data.json's link \"bond0\" of type \"bond\""]
    );
}

/// cloud-init takes a text with blanks as well as a list.
#[test]
fn name_servers_and_search_domains_may_be_a_text() {
    let subnet = "type: static, address: 10.9.0.2/24, gateway: 10.9.0.1";
    for (servers, search) in [
        ("10.9.0.53 10.9.0.54", "a.example b.example"),
        ("'10.9.0.53, 10.9.0.54'", "'a.example,b.example'"),
        ("[10.9.0.53, 10.9.0.54]", "[a.example, b.example]"),
        ("[10.9.0.53 10.9.0.54]", "[a.example b.example]"),
    ] {
        let documents = [
            format!(
                "version: 1\nconfig: [{{type: physical, name: eth0, subnets: [{{{subnet}, \
                 dns_nameservers: {servers}, dns_search: {search}}}]}}]"
            ),
            format!(
                "version: 2\nethernets: {{eth0: {{addresses: [10.9.0.2/24], gateway4: 10.9.0.1, \
                 nameservers: {{addresses: {servers}, search: {search}}}}}}}"
            ),
        ];
        // In a flow collection a comma ends a plain scalar, and blanks do not.
        for document in documents {
            let (network, ignored) = noted(&document);
            let interface = &network.interfaces[0];
            assert_eq!(interface.dns_servers, ["10.9.0.53", "10.9.0.54"].map(ip));
            assert_eq!(network.dns_search, ["a.example", "b.example"], "{document}");
            assert_eq!(interface.gateways, [ip("10.9.0.1")]);
            assert_eq!(ignored, [""; 0], "{document}");
        }
    }
    let text = "version: 1\nconfig:\n- {type: nameserver, address: '10.9.0.53 ::1', search: c}\n\
                - {type: nameserver, interface: eth7, address: 10.9.0.54, search: 'd_e f'}\n";
    let (network, ignored) = noted(text);
    assert_eq!(
        network.dns_servers,
        ["10.9.0.53", "::1", "10.9.0.54"].map(ip)
    );
    assert_eq!(network.dns_search, ["c", "f"]);
    assert_eq!(
        ignored,
        ["the network configuration's search domain \"d_e\", which isn't valid"]
    );
}

/// A default route beside the interfaces belongs to the one whose network has its gateway.
#[test]
fn a_default_route_of_version_1_has_its_interface() {
    let config =
        |devices: &str, routes: &str| noted(&format!("version: 1\nconfig:\n{devices}{routes}"));
    let device = |name: &str, address: &str| {
        format!("- {{type: physical, name: {name}, subnets: [{{address: {address}}}]}}\n")
    };
    let default = "- type: route\n  destination: 0.0.0.0/0\n  gateway: 10.9.0.1\n";
    let masked = "- {type: route, network: '::', netmask: '::', gateway: fe80::1}\n";
    let one = device("eth0", "10.9.0.2/24");
    let two = format!("{one}{}", device("eth1", "10.8.0.2/24"));
    for devices in [
        &one,
        &two,
        &format!("{}{one}", device("eth1", "10.8.0.2/24")),
    ] {
        for text in [format!("{devices}{default}"), format!("{default}{devices}")] {
            let (network, ignored) = config(&text, "");
            let with = |i: &&Interface| i.name == "eth0";
            let interface = network.interfaces.iter().find(with).unwrap();
            assert_eq!(interface.gateways, [ip("10.9.0.1")], "{text}");
            let all = network.interfaces.iter().map(|i| i.gateways.len());
            assert_eq!(all.sum::<usize>(), 1);
            assert_eq!(ignored, [""; 0]);
        }
    }
    // The only interface may reach a gateway outside of its prefix.
    let (network, ignored) = config(&one, masked);
    assert_eq!(network.interfaces[0].gateways, [ip("fe80::1")]);
    assert_eq!(ignored, [""; 0]);
    let (network, ignored) = config(&two, masked);
    assert!(network.interfaces.iter().all(|i| i.gateways.is_empty()));
    assert_eq!(
        ignored,
        ["the network configuration's route by fe80::1, which is in no interface's network"]
    );
    let (_, ignored) = config(
        &one,
        "- {type: route, destination: default, gateway: 10.9.0.1, metric: 3}",
    );
    assert_eq!(
        ignored,
        ["the network configuration's metric of the route to \"default\""]
    );
}

#[test]
fn devices_of_version_2_have_the_order_of_their_numbers_or_of_the_document() {
    let order = |names: &[&str]| {
        let device = |name: &&str| format!("  {name}:\n    addresses: [10.1.0.9/24]\n");
        let devices: String = names.iter().map(device).collect();
        let block = format!("version: 2\nethernets:\n{devices}");
        let pairs: Vec<String> = names
            .iter()
            .map(|name| format!("\"{name}\": {{}}"))
            .collect();
        let json = format!(
            "{{\"network\": {{\"ethernets\": {{{}}}, \"version\": 2}}}}",
            pairs.join(",")
        );
        let of = |text: &str| -> Vec<String> {
            let (network, _) = noted(text);
            network.interfaces.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(of(&block), of(&json));
        of(&block)
    };
    assert_eq!(order(&["ens9", "ens10"]), ["ens9", "ens10"]);
    assert_eq!(order(&["ens10", "ens9"]), ["ens9", "ens10"]);
    assert_eq!(
        order(&["enp2s0", "enp1s10", "enp1s9"]),
        ["enp1s9", "enp1s10", "enp2s0"]
    );
    assert_eq!(order(&["wan", "lan"]), ["wan", "lan"]);
    assert_eq!(order(&["ens10", "lan", "ens9"]), ["ens10", "lan", "ens9"]);
    assert_eq!(order(&["b", "a", "version"]), ["b", "a", "version"]);
}

/// The name of `match` is the device's own; a pattern matches several.
#[test]
fn a_device_may_be_matched_by_its_name() {
    let text = "version: 2\nethernets:\n  b: {match: {name: eth1}, dhcp4: true}\n  \
                a: {match: {name: 'eth[0]', driver: x}, set-name: lan, dhcp6: true}\n";
    let (network, ignored) = noted(text);
    let found = network.of_device(1, [0; 6]).unwrap();
    assert!(found.dhcp && found.name == "eth1");
    assert_eq!(network.interfaces[1].name, "lan");
    assert_eq!(
        ignored,
        [
            "the network configuration's match of \"a\" to the name \"eth[0]\"",
            "the network configuration's driver in the match of \"a\"",
        ]
    );
}

#[test]
fn router_advertisements_may_be_forbidden() {
    let of = |keys: &str| {
        let (network, ignored) = noted(&format!("version: 2\nethernets: {{a: {{{keys}}}}}"));
        (network.interfaces[0].slaac, ignored)
    };
    assert_eq!(of("accept-ra: true"), (true, vec![]));
    assert_eq!(of("accept-ra: false"), (false, vec![]));
    let note = "the network configuration's accept-ra of \"a\"".to_string();
    assert_eq!(of("accept-ra: no, dhcp6: true"), (true, vec![note]));
}

/// nova's schema has services in a network and in its routes.
#[test]
fn name_servers_of_openstacks_networks() {
    let text = r#"{
  "links": [{"id": "a", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:01", "mtu": 1450}],
  "networks": [{"id": "n", "link": "a", "network_id": "x", "type": "ipv4",
    "ip_address": "10.0.0.2", "netmask": "255.255.255.0",
    "services": [{"type": "dns", "address": "10.0.0.53"}, {"type": "ntp", "address": "10.0.0.1"}],
    "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1",
      "services": [{"type": "dns", "address": "10.0.0.54"}]}]}],
  "services": [{"type": "dns", "address": "10.0.0.55"}]}"#;
    let (network, ignored) = openstack(text);
    let interface = &network.interfaces[0];
    assert_eq!(interface.dns_servers, ["10.0.0.53", "10.0.0.54"].map(ip));
    assert_eq!(interface.gateways, [ip("10.0.0.1")]);
    assert_eq!(network.dns_servers, [ip("10.0.0.55")]);
    assert_eq!(
        ignored,
        [
            "network_data.json's mtu of the link \"a\"",
            "network_data.json's service of type \"ntp\"",
        ]
    );
}

/// A document with `@` in the mapping of this name of the page, and whether it is OpenStack's.
fn document(mapping: &str) -> (&'static str, bool) {
    match mapping {
        "version 1" => ("{version: 1, config: []@}", false),
        "`physical`" => ("{version: 1, config: [{type: physical, name: a@}]}", false),
        "a subnet" => (
            "{version: 1, config: [{type: physical, name: a, subnets: [{type: dhcp@}]}]}",
            false,
        ),
        "`route`, a subnet's route" => (
            "{version: 1, config: [{type: physical, name: a, subnets: [{type: dhcp, routes: \
             [{network: '::/0', gateway: '::1'@}]}]}]}",
            false,
        ),
        "`nameserver`" => (
            "{version: 1, config: [{type: nameserver, address: '::1'@}]}",
            false,
        ),
        "version 2" => ("{version: 2@}", false),
        "a device of `ethernets`" => ("{version: 2, ethernets: {a: {dhcp4: true@}}}", false),
        "its `match`" => ("{version: 2, ethernets: {a: {match: {name: b@}}}}", false),
        "its `nameservers`" => (
            "{version: 2, ethernets: {a: {nameservers: {addresses: ['::1']@}}}}",
            false,
        ),
        "its route" => (
            "{version: 2, ethernets: {a: {routes: [{to: default, via: '::1'@}]}}}",
            false,
        ),
        "`network_data.json`" => (r#"{"links": []@}"#, true),
        "a link" => (r#"{"links": [{"id": "a", "type": "phy"@}]}"#, true),
        "a network" => (
            r#"{"links": [{"id": "a"}], "networks": [{"link": "a", "type": "ipv4_dhcp"@}]}"#,
            true,
        ),
        "a network's route" => (
            r#"{"links": [{"id": "a"}], "networks": [{"link": "a", "type": "ipv4_dhcp", "routes":
             [{"network": "::", "netmask": "::", "gateway": "::1"@}]}]}"#,
            true,
        ),
        "a service" => (
            r#"{"services": [{"type": "dns", "address": "::1"@}]}"#,
            true,
        ),
        other => panic!("{other}: not a mapping of the code"),
    }
}

/// The table of the page has the keys that are read, and each of the others is named in a note.
#[test]
fn the_page_has_the_keys() {
    let page = include_str!("../../../docs/metadata.md");
    let table = page
        .split("| mapping | read | named in the log |\n")
        .nth(1)
        .unwrap();
    let table = table.split("\n\n").next().unwrap();
    let keys = |cell: &str| -> Vec<String> {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(String::from).collect()
    };
    let mut mappings = Vec::new();
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [mapping, read, noted_keys] = cells[..] else {
            panic!("{row}");
        };
        let (_, known) = super::ALL
            .iter()
            .find(|(name, _)| *name == mapping)
            .unwrap();
        assert_eq!(keys(read), *known, "{mapping}");
        let (text, is_openstack) = document(mapping);
        let of = |more: &str| {
            let text = text.replace('@', more);
            if is_openstack {
                openstack(&text).1
            } else {
                noted(&text).1
            }
        };
        assert_eq!(of(""), [""; 0], "{mapping}");
        for key in keys(noted_keys)
            .iter()
            .map(String::as_str)
            .chain(["invented"])
        {
            let notes = of(&format!(", \"{key}\": \"x\""));
            assert_eq!(notes.len(), 1, "{mapping} {key}: {notes:?}");
            assert!(notes[0].contains(&format!("'s {key}")), "{notes:?}");
        }
        mappings.push(mapping);
    }
    let all: Vec<&str> = super::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(mappings, all);
}

#[test]
fn a_device_is_matched_by_its_address_its_name_or_its_position() {
    let interface = |name: &str, mac: Option<u8>| Interface {
        name: name.into(),
        mac: mac.map(|last| [2, 0, 0, 0, 0, last]),
        ..Interface::default()
    };
    let network = |interfaces: &[Interface]| Network {
        interfaces: interfaces.to_vec(),
        ..Network::default()
    };
    let name = |network: &Network, index, last| {
        let found = network.of_device(index, [2, 0, 0, 0, 0, last]);
        found.map(|interface| interface.name.clone())
    };
    let by_mac = network(&[interface("b", Some(2)), interface("a", Some(1))]);
    assert_eq!(name(&by_mac, 0, 1).as_deref(), Some("a"));
    assert_eq!(name(&by_mac, 1, 2).as_deref(), Some("b"));
    assert_eq!(name(&by_mac, 0, 3), None);
    // A name is none of a card with another address.
    let of_another = network(&[interface("eth0", Some(1)), interface("eth1", None)]);
    assert_eq!(name(&of_another, 0, 2), None);
    assert_eq!(name(&of_another, 0, 1).as_deref(), Some("eth0"));
    assert_eq!(name(&of_another, 1, 2).as_deref(), Some("eth1"));
    let by_name = network(&[interface("eth1", None), interface("eth0", None)]);
    assert_eq!(name(&by_name, 0, 1).as_deref(), Some("eth0"));
    let by_place = network(&[interface("enp1s0", None), interface("x", None)]);
    assert_eq!(name(&by_place, 1, 1).as_deref(), Some("x"));
    assert_eq!(name(&by_place, 2, 1), None);
    // A name of another device is no position.
    let second_only = network(&[interface("eth1", None)]);
    assert_eq!(name(&second_only, 0, 1), None);
    assert_eq!(name(&second_only, 1, 1).as_deref(), Some("eth1"));
}

#[test]
fn properties_of_a_device_are_ignored_and_named() {
    let device = "{dhcp4: true, mtu: 1400, macaddress: '52:54:00:00:00:01'}";
    let (network, ignored) = noted(&format!("version: 2\nethernets:\n  eth0: {device}\n"));
    assert!(network.interfaces[0].dhcp);
    assert_eq!(
        ignored,
        ["the network configuration's macaddress, mtu of \"eth0\""]
    );
    let (_, ignored) = noted("version: 1\nconfig: [{type: physical, name: eth0, mtu: 9000}]");
    assert_eq!(ignored, ["the network configuration's mtu of \"eth0\""]);
}

#[test]
fn what_is_not_a_configuration_is_refused() {
    let of = |rest: &str| {
        refused(&format!(
            "version: 1\nconfig:\n- type: physical\n  {rest}\n"
        ))
        .strip_prefix("the network configuration: ")
        .map(String::from)
    };
    for (text, expected) in [
        (
            "subnets: [{type: static}]",
            "a static subnet has no address",
        ),
        ("subnets: [{address: x}]", "\"x\" is not an address"),
        (
            "subnets: [{address: 10.0.0.1/33}]",
            "\"33\" is not the mask of 10.0.0.1",
        ),
        (
            "subnets: [{address: 10.0.0.1, netmask: 255.0.255.0}]",
            "\"255.0.255.0\" is not the mask of 10.0.0.1",
        ),
        (
            "subnets: [{address: 10.0.0.1, netmask: 'ffff::'}]",
            "\"ffff::\" is not the mask of 10.0.0.1",
        ),
        (
            "subnets: [{type: dhcp, gateway: 10.0.0.1/8}]",
            "\"10.0.0.1/8\" is not an address",
        ),
        ("mac_address: 1:2", "\"1:2\" is not a MAC address"),
        (
            "mac_address: 00:11:22:33:44:55:66",
            "\"00:11:22:33:44:55:66\" is not a MAC address",
        ),
    ] {
        assert_eq!(of(text).as_deref(), Some(expected), "{text}");
    }
    assert!(refused("version: 3").contains("version 3"));
    assert!(refused("a: b").contains("no version"));
    assert!(refused("a: [").contains("line 1"));
    assert_eq!(noted("config: disabled").0, Network::default());
    assert_eq!(noted("").0, Network::default());
}

#[test]
fn numbers_of_entries_are_bounded() {
    let entries: String = (0..100)
        .map(|n| format!("- {{type: physical, subnets: [{{address: 10.0.0.{n}/8}}]}}\n"))
        .collect();
    let more = "the network configuration's entries after the 32nd of a list";
    let (network, ignored) = noted(&format!("version: 1\nconfig:\n{entries}"));
    assert_eq!(network.interfaces.len(), super::MAX_INTERFACES);
    assert_eq!(ignored, [more]);
    let addresses: String = (0..100).map(|n| format!("10.0.0.{n}/8, ")).collect();
    let (network, ignored) = noted(&format!(
        "version: 2\nethernets: {{a: {{addresses: [{addresses}]}}}}"
    ));
    assert_eq!(ignored, [more]);
    assert_eq!(network.interfaces[0].addresses.len(), super::MAX_ENTRIES);
}

proptest! {
    #[test]
    fn accepts_anything(
        version in 0u8..4,
        key in "(config|ethernets|network)",
        text in "[ a-z0-9:{}\\[\\],./\n-]{0,120}",
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = read(format!("version: {version}\n{key}: {text}").as_bytes(), &mut |_| ());
        let _ = read(&bytes, &mut |_| ());
        let _ = read_openstack(&bytes, &mut |_| ());
    }
}
