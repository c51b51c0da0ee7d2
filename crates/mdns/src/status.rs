//! How discovery fares: [`DiscoveryStatus`].

/// What an operator wants to know when peers do not see each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiscoveryStatus {
    /// Whether the announcement went out.
    pub reach: Reach,
    /// The last error of multicast DNS, in its own words; cleared by nothing.
    pub last_error: Option<String>,
    /// How often multicast DNS was started anew after an error or a flood.
    pub restarts: u32,
    /// Announcements of our service type that made no sense and were ignored.
    pub malformed: u64,
}

/// Whether the announcement went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Nothing was announced yet.
    #[default]
    Unknown,
    /// At least one interface sent the announcement.
    Announced,
    /// No interface took it: none is up, none passes the filter, or multicast is not permitted.
    NoInterface,
}
