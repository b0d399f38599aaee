use crate::Negotiated;
use std::collections::BTreeMap;
use wire::{
    AsPath, Community, EncodeContext, EncodedAttributes, Family, FamilySet, LargeCommunity, MAX_MESSAGE,
    NextHop, Origin, PathAttributes, Prefix, UpdatePacker,
};

/// The peer has no announcement of the prefix.
pub(super) const NEVER_SENT: u8 = 0;
/// The peer has an announcement with attributes that are not known any more.
pub(super) const STALE: u8 = 255;

/// Names a class of announcements: all prefixes of a class share their attributes on a session. 1 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(u8);

impl ClassId {
    /// The class of everything that asks for nothing special.
    pub const DEFAULT: Self = Self(1);

    /// A class by number; `None` outside 1 to 127.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 127 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What is said of a class of prefixes on one session. AS_PATH is added by the session: nothing inside the AS, our
/// own number to other ASes (RFC 4271 section 5.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportAttributes {
    /// Next hop of IPv4 prefixes. An IPv6 one is used only where RFC 8950 was negotiated; `None`: not announced.
    pub next_hop_v4: Option<NextHop>,
    /// Next hop of IPv6 prefixes; `None`: not announced.
    pub next_hop_v6: Option<NextHop>,
    /// ORIGIN.
    pub origin: Origin,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF towards iBGP peers; 100 where `None`.
    pub local_pref: Option<u32>,
    /// How often our own AS number is added once more in front (eBGP only).
    pub prepend: u8,
    /// COMMUNITIES.
    pub communities: Vec<Community>,
    /// EXTENDED COMMUNITIES.
    pub extended_communities: Vec<[u8; 8]>,
    /// LARGE_COMMUNITIES.
    pub large_communities: Vec<LargeCommunity>,
}

/// Attributes that cannot be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attributes of class {class} do not fit a message of {max} octets: use fewer communities")]
pub struct DefineError {
    /// The class.
    pub class: u8,
    /// The message size.
    pub max: usize,
}

impl ExportAttributes {
    /// Whether a class can be defined with these attributes on every session.
    ///
    /// # Errors
    /// The attributes do not leave room for a prefix in a message.
    pub fn check(&self) -> Result<(), DefineError> {
        if self.fit(&STRICTEST) {
            return Ok(());
        }
        Err(DefineError {
            class: ClassId::DEFAULT.get(),
            max: STRICTEST.max_message,
        })
    }

    /// Whether a prefix has room beside them, with the longest path.
    fn fit(&self, context: &EncodeContext) -> bool {
        let style = PathStyle {
            ebgp: true,
            local_as: u32::MAX,
            extended_next_hop: FamilySet::ALL,
        };
        let fits_in = |family: Family| {
            style
                .path_attributes(self, family)
                .is_none_or(|path| fits(&EncodedAttributes::new(family, &path, context), context))
        };
        Family::ALL.into_iter().all(fits_in)
    }
}

/// The classes, and their encoded attributes on the present session.
#[derive(Debug, Default)]
pub(super) struct AttributeTable {
    classes: BTreeMap<u8, ExportAttributes>,
    style: Option<PathStyle>,
    /// By identifier minus 1.
    sets: Vec<Option<Set>>,
    current: BTreeMap<(u8, Family), u8>,
}

#[derive(Debug)]
struct Set {
    attributes: ExportAttributes,
    family: Family,
    encoded: EncodedAttributes,
    /// Prefixes whose last announcement used this set.
    users: usize,
}

/// How AS_PATH and LOCAL_PREF are made on the present session.
#[derive(Clone, Copy, Debug)]
struct PathStyle {
    ebgp: bool,
    local_as: u32,
    extended_next_hop: FamilySet,
}

impl AttributeTable {
    /// Returns whether anything changed.
    pub(super) fn define(
        &mut self,
        class: ClassId,
        attributes: ExportAttributes,
        context: Option<EncodeContext>,
    ) -> Result<bool, DefineError> {
        if self.classes.get(&class.0) == Some(&attributes) {
            return Ok(false);
        }
        // Judged by the smallest message, so that the answer does not depend on the session.
        let context = EncodeContext {
            max_message: MAX_MESSAGE,
            ..context.unwrap_or(STRICTEST)
        };
        if !attributes.fit(&context) {
            return Err(DefineError {
                class: class.0,
                max: context.max_message,
            });
        }
        self.classes.insert(class.0, attributes);
        Ok(true)
    }

    pub(super) fn class(&self, class: ClassId) -> Option<&ExportAttributes> {
        self.classes.get(&class.0)
    }

    pub(super) fn session_up(&mut self, negotiated: &Negotiated, ebgp: bool, local_as: u32) {
        self.session_down();
        self.style = Some(PathStyle {
            ebgp,
            local_as,
            extended_next_hop: negotiated.extended_next_hop,
        });
    }

    pub(super) fn session_down(&mut self) {
        self.style = None;
        self.sets.clear();
        self.current.clear();
    }

    /// Encodes what each class says in each family. Returns `false` if there are too many sets at once.
    pub(super) fn encode(&mut self, families: FamilySet, context: &EncodeContext) -> bool {
        let Some(style) = self.style else { return true };
        self.current.clear();
        self.drop_unused();
        for (class, attributes) in &self.classes {
            for family in families.iter() {
                let Some(path) = style.path_attributes(attributes, family) else {
                    continue;
                };
                let same = |set: &Set| set.family == family && set.attributes == *attributes;
                let known = self.sets.iter().position(|set| set.as_ref().is_some_and(same));
                let index = match known.or_else(|| self.sets.iter().position(Option::is_none)) {
                    Some(index) => index,
                    None if self.sets.len() < usize::from(STALE) - 1 => {
                        self.sets.push(None);
                        self.sets.len() - 1
                    }
                    None => return false,
                };
                self.sets[index].get_or_insert_with(|| Set {
                    attributes: attributes.clone(),
                    family,
                    encoded: EncodedAttributes::new(family, &path, context),
                    users: 0,
                });
                self.current.insert((*class, family), index as u8 + 1);
            }
        }
        true
    }

    /// The set in which a class is announced now, or [`NEVER_SENT`].
    pub(super) fn current(&self, class: u8, family: Family) -> u8 {
        self.current.get(&(class, family)).copied().unwrap_or(NEVER_SENT)
    }

    pub(super) fn encoded(&self, id: u8) -> Option<&EncodedAttributes> {
        let index = usize::from(id).checked_sub(1)?;
        self.sets.get(index)?.as_ref().map(|set| &set.encoded)
    }

    /// `count` prefixes moved from one set to another.
    pub(super) fn moved(&mut self, from: u8, to: u8, count: usize) {
        if let Some(set) = self.set_mut(from) {
            set.users = set.users.saturating_sub(count);
        }
        if let Some(set) = self.set_mut(to) {
            set.users += count;
        }
    }

    /// No prefix of the family uses any set any more: all are stale.
    pub(super) fn forget_sent(&mut self, family: Family) {
        for set in self.sets.iter_mut().flatten().filter(|set| set.family == family) {
            set.users = 0;
        }
    }

    fn set_mut(&mut self, id: u8) -> Option<&mut Set> {
        let index = usize::from(id).checked_sub(1)?;
        self.sets.get_mut(index)?.as_mut()
    }

    fn drop_unused(&mut self) {
        for set in &mut self.sets {
            if set.as_ref().is_some_and(|set| set.users == 0) {
                *set = None;
            }
        }
    }
}

impl PathStyle {
    fn path_attributes(self, export: &ExportAttributes, family: Family) -> Option<PathAttributes> {
        let next_hop = match (family, export.next_hop_v4, export.next_hop_v6) {
            (Family::Ipv4Unicast, Some(hop @ NextHop::V4(_)), _) => hop,
            (Family::Ipv4Unicast, Some(hop @ NextHop::V6 { .. }), _)
                if self.extended_next_hop.contains(family) =>
            {
                hop
            }
            (Family::Ipv6Unicast, _, Some(hop @ NextHop::V6 { .. })) => hop,
            _ => return None,
        };
        let as_path = if self.ebgp {
            AsPath::sequence(vec![self.local_as; usize::from(export.prepend) + 1])
        } else {
            AsPath::default()
        };
        Some(PathAttributes {
            origin: Some(export.origin),
            as_path: Some(as_path),
            next_hop: Some(next_hop),
            med: export.med,
            local_pref: (!self.ebgp).then(|| export.local_pref.unwrap_or(100)),
            communities: export.communities.clone(),
            extended_communities: export.extended_communities.clone(),
            large_communities: export.large_communities.clone(),
            ..PathAttributes::default()
        })
    }
}

/// The context in which attributes take the most room.
const STRICTEST: EncodeContext = EncodeContext {
    four_octet_as: false,
    max_message: MAX_MESSAGE,
};

fn fits(encoded: &EncodedAttributes, context: &EncodeContext) -> bool {
    let longest: &str = match encoded.family() {
        Family::Ipv4Unicast => "192.0.2.1/32",
        Family::Ipv6Unicast => "2001:db8::1/128",
    };
    let Ok(prefix) = longest.parse::<Prefix>() else {
        return false;
    };
    let mut scratch = Vec::new();
    let mut packer = UpdatePacker::announce(encoded, context, &mut scratch);
    packer.push(&prefix)
}
