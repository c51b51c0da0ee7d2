//! Which network interfaces take part: [`InterfaceFilter`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// How the names of bridges and adapters begin that containers and virtual machines make on their
/// host. Their addresses lead nowhere from another machine. `br0` and VPNs that carry a LAN party
/// are not among them.
const VIRTUAL_PREFIXES: [&str; 19] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vmnet",
    "vboxnet",
    "lxcbr",
    "lxdbr",
    "incusbr",
    "cni",
    "flannel",
    "cali",
    "podman",
    "bridge1", // macOS shares the internet with its virtual machines over bridge100 and on
    "VirtualBox Host-Only",
    "VMware Network Adapter",
    "vEthernet (WSL",
    "vEthernet (Default Switch",
    "Npcap Loopback",
];

type Predicate = dyn Fn(&str, IpAddr) -> bool + Send + Sync;

/// Chooses interfaces, address by address. Cheap to clone.
///
/// IPv6 link-local addresses never pass: they cannot be dialled without knowing the interface.
#[derive(Clone)]
pub struct InterfaceFilter {
    choice: Choice,
    listen: Option<IpAddr>,
}

#[derive(Clone)]
enum Choice {
    Physical,
    Loopback,
    Listed(Arc<[String]>),
    Matching(Arc<Predicate>),
}

impl InterfaceFilter {
    /// Every interface that leads to other machines: no loopback, no bridge of containers or
    /// virtual machines. The default.
    pub fn physical() -> Self {
        Self::of(Choice::Physical)
    }

    /// This machine alone, for demonstrations.
    pub fn loopback() -> Self {
        Self::of(Choice::Loopback)
    }

    /// Exactly these, each an interface's name or one of its addresses.
    pub fn only<S: Into<String>>(names_or_addresses: impl IntoIterator<Item = S>) -> Self {
        Self::of(Choice::Listed(
            names_or_addresses.into_iter().map(Into::into).collect(),
        ))
    }

    /// Those whose name and address pass. Called on a thread of its own: it must not block.
    pub fn matching(predicate: impl Fn(&str, IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self::of(Choice::Matching(Arc::new(predicate)))
    }

    /// Besides, only addresses where a socket bound to `listen` can be reached, so that nothing else
    /// is announced. `0.0.0.0` leaves IPv4, `::` leaves both, any other address leaves itself; with
    /// [`InterfaceFilter::physical`] such an address decides alone, so that listening on `127.0.0.1`
    /// means loopback.
    #[must_use]
    pub fn listening_on(mut self, listen: IpAddr) -> Self {
        self.listen = Some(listen);
        self
    }

    /// Whether the address `ip` of the interface `name` takes part.
    pub fn accepts(&self, name: &str, ip: IpAddr) -> bool {
        if is_v6_link_local(ip) {
            return false;
        }
        let listening = self.listen.filter(|listen| !listen.is_unspecified());
        let reachable = match self.listen {
            None | Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => true,
            Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => ip.is_ipv4(),
            Some(listen) => ip == listen,
        };
        reachable
            && match &self.choice {
                Choice::Physical => listening.is_some() || (!ip.is_loopback() && !is_virtual(name)),
                Choice::Loopback => ip.is_loopback(),
                Choice::Listed(list) => list
                    .iter()
                    .any(|item| item == name || item.parse() == Ok(ip)),
                Choice::Matching(predicate) => predicate(name, ip),
            }
    }

    /// Whether candidates at loopback addresses mean anything: only where we announce such
    /// addresses ourselves. Elsewhere a stranger could make us dial our own machine.
    pub(crate) fn takes_loopback(&self) -> bool {
        let addresses = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        addresses
            .iter()
            .chain(&self.listen)
            .filter(|ip| ip.is_loopback())
            .any(|ip| {
                ["lo", "lo0", "Loopback Pseudo-Interface 1"]
                    .iter()
                    .any(|name| self.accepts(name, *ip))
            })
    }

    fn of(choice: Choice) -> Self {
        Self {
            choice,
            listen: None,
        }
    }
}

impl Default for InterfaceFilter {
    fn default() -> Self {
        Self::physical()
    }
}

impl fmt::Debug for InterfaceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.choice {
            Choice::Physical => f.write_str("physical")?,
            Choice::Loopback => f.write_str("loopback")?,
            Choice::Listed(list) => write!(f, "only {list:?}")?,
            Choice::Matching(_) => f.write_str("matching a predicate")?,
        }
        self.listen
            .map_or(Ok(()), |listen| write!(f, ", listening on {listen}"))
    }
}

/// `fe80::/10`.
pub(crate) fn is_v6_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn is_virtual(name: &str) -> bool {
    VIRTUAL_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(filter: &InterfaceFilter) -> Vec<&'static str> {
        let machine = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "192.168.1.5"),
            ("eth0", "fd00::5"),
            ("eth0", "fe80::5"),
            ("wlan0", "10.0.0.5"),
            ("docker0", "172.17.0.1"),
        ];
        let passes = |(name, ip): &(&str, &str)| filter.accepts(name, ip.parse().unwrap());
        machine
            .into_iter()
            .filter(passes)
            .map(|(_, ip)| ip)
            .collect()
    }

    fn on(filter: InterfaceFilter, listen: &str) -> Vec<&'static str> {
        passing(&filter.listening_on(listen.parse().unwrap()))
    }

    #[test]
    fn the_default_takes_what_leads_to_other_machines() {
        assert_eq!(
            passing(&InterfaceFilter::default()),
            ["192.168.1.5", "fd00::5", "10.0.0.5"]
        );
    }

    #[test]
    fn a_listen_address_narrows_the_choice() {
        let physical = InterfaceFilter::physical;
        assert_eq!(on(physical(), "0.0.0.0"), ["192.168.1.5", "10.0.0.5"]);
        assert_eq!(on(physical(), "::"), ["192.168.1.5", "fd00::5", "10.0.0.5"]);
        assert_eq!(on(physical(), "127.0.0.1"), ["127.0.0.1"]);
        assert_eq!(on(physical(), "172.17.0.1"), ["172.17.0.1"]);
        assert_eq!(
            on(InterfaceFilter::only(["eth0"]), "0.0.0.0"),
            ["192.168.1.5"]
        );
        assert!(on(InterfaceFilter::only(["eth0"]), "10.0.0.5").is_empty());
    }

    #[test]
    fn names_addresses_and_predicates_choose_exactly() {
        assert_eq!(
            passing(&InterfaceFilter::only(["docker0", "10.0.0.5"])).len(),
            2
        );
        assert_eq!(passing(&InterfaceFilter::loopback()), ["127.0.0.1", "::1"]);
        let v6 = InterfaceFilter::matching(|_, ip| ip.is_ipv6());
        assert_eq!(passing(&v6), ["::1", "fd00::5"]);
    }

    #[test]
    fn loopback_candidates_count_only_where_loopback_is_used() {
        assert!(InterfaceFilter::loopback().takes_loopback());
        assert!(InterfaceFilter::only(["127.0.0.1"]).takes_loopback());
        let bound = |ip: &str| InterfaceFilter::physical().listening_on(ip.parse().unwrap());
        assert!(bound("127.0.0.1").takes_loopback());
        assert!(!bound("0.0.0.0").takes_loopback());
        assert!(!InterfaceFilter::physical().takes_loopback());
    }
}
