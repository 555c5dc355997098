//! What holds for which channel, and who may do what there.

use crate::config::{Audience, HubSettings, Namespace, Publishers};

/// The namespace of a channel.
pub(super) type NamespaceKey = u16;

/// All namespaces, by the prefix of a channel's name.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// The default one first, then the others by name.
    all: Vec<(String, Namespace)>,
}

/// Separates a prefix from the rest of a channel's name.
const PREFIX_END: char = ':';
/// Separates the rest from the users for whom alone it is.
const USERS: char = '#';
/// Separates one user from the next.
const USER_END: char = ',';

impl Namespaces {
    pub(super) fn new(settings: &HubSettings) -> Self {
        let named = settings.namespaces.iter().map(|(name, namespace)| (name.clone(), namespace.clone()));
        Self { all: std::iter::once((String::new(), settings.default_namespace.clone())).chain(named).collect() }
    }

    /// The namespace that a channel's prefix names; `None` where there is none of that name.
    pub(super) fn of(&self, channel: &str) -> Option<NamespaceKey> {
        let Some((prefix, _)) = channel.split_once(PREFIX_END) else {
            return Some(0);
        };
        let at = self.all[1..].binary_search_by(|(name, _)| name.as_str().cmp(prefix)).ok()?;
        NamespaceKey::try_from(at + 1).ok()
    }

    pub(super) fn get(&self, key: NamespaceKey) -> &Namespace {
        &self.all[usize::from(key)].1
    }
}

/// Whether a name can be a channel's: not empty, not too long, no control characters.
pub(super) fn is_channel_name(name: &str, max_bytes: usize) -> bool {
    !name.is_empty() && name.len() <= max_bytes && !name.chars().any(char::is_control)
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    /// Empty for nobody in particular.
    pub(super) user: &'a str,
    /// Has shown a token for this very channel.
    pub(super) has_token: bool,
    /// Hears of the channel.
    pub(super) is_subscribed: bool,
    /// Nobody is asked for anything.
    pub(super) insecure: bool,
}

/// Whether it may hear of the channel.
pub(super) fn may_subscribe(namespace: &Namespace, channel: &str, asker: Asker<'_>) -> bool {
    if asker.has_token {
        return true;
    }
    if let Some((_, users)) = channel.rsplit_once(USERS) {
        return !asker.user.is_empty() && users.split(USER_END).any(|user| user == asker.user);
    }
    match namespace.allow_subscribe {
        _ if asker.insecure => true,
        Audience::Nobody => false,
        Audience::Clients => !asker.user.is_empty(),
        Audience::Anyone => true,
    }
}

/// Whether it may publish on the channel.
pub(super) fn may_publish(namespace: &Namespace, channel: &str, asker: Asker<'_>) -> bool {
    let is_for_others = !asker.is_subscribed && channel.contains(USERS);
    match namespace.allow_publish {
        _ if is_for_others => may_subscribe(namespace, channel, asker) && asker.insecure,
        _ if asker.insecure => true,
        Publishers::Nobody => false,
        Publishers::Subscribers => asker.is_subscribed,
        Publishers::Clients => true,
    }
}

/// Whether it may ask who is there and what was published.
pub(super) fn may_look(asker: Asker<'_>) -> bool {
    asker.is_subscribed || asker.insecure
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn asker(user: &str) -> Asker<'_> {
        Asker { user, has_token: false, is_subscribed: false, insecure: false }
    }

    #[test]
    fn a_prefix_names_a_namespace_and_no_prefix_the_default_one() {
        let named = |size| Namespace { history_size: size, ..Namespace::default() };
        let namespaces = BTreeMap::from([("b".to_owned(), named(2)), ("a".to_owned(), named(1))]);
        let all = Namespaces::new(&HubSettings { namespaces, ..HubSettings::default() });
        let size = |channel: &str| all.of(channel).map(|key| all.get(key).history_size);
        assert_eq!(
            [size("x"), size("a:x"), size("b:x:y"), size("c:x"), size(":x")],
            [Some(100), Some(1), Some(2), None, None]
        );
    }

    #[test]
    fn names_have_bounds_and_no_control_characters() {
        for (name, is_one) in
            [("a", true), ("", false), ("räum", true), ("a\nb", false), ("a\u{85}", false), ("aaaaaa", false)]
        {
            assert_eq!(is_channel_name(name, 5), is_one, "{name:?}");
        }
    }

    #[test]
    fn only_who_may_subscribes() {
        let of = |audience| Namespace { allow_subscribe: audience, ..Namespace::default() };
        let may = |audience, channel, asker| may_subscribe(&of(audience), channel, asker);
        assert!(may(Audience::Clients, "c", asker("ann")) && !may(Audience::Clients, "c", asker("")));
        assert!(may(Audience::Anyone, "c", asker("")) && !may(Audience::Nobody, "c", asker("ann")));
        assert!(may(Audience::Nobody, "c", Asker { has_token: true, ..asker("") }));
        assert!(may(Audience::Nobody, "c", Asker { insecure: true, ..asker("") }));
    }

    #[test]
    fn channels_for_users_are_for_these_users() {
        let open = Namespace { allow_subscribe: Audience::Anyone, ..Namespace::default() };
        for (channel, user, may) in [
            ("c#42", "42", true),
            ("c#42,43", "43", true),
            ("c#42", "4", false),
            ("c#42", "", false),
            ("c#", "", false),
            ("a#b#42", "42", true),
            ("a#b#42", "b#42", false),
        ] {
            assert_eq!(may_subscribe(&open, channel, asker(user)), may, "{channel} {user}");
        }
        let insecure = Asker { insecure: true, ..asker("7") };
        assert!(!may_subscribe(&open, "c#42", insecure));
    }

    #[test]
    fn only_who_may_publishes() {
        let of = |publishers| Namespace { allow_publish: publishers, ..Namespace::default() };
        let subscribed = Asker { is_subscribed: true, ..asker("ann") };
        assert!(!may_publish(&of(Publishers::Nobody), "c", subscribed));
        assert!(may_publish(&of(Publishers::Subscribers), "c", subscribed));
        assert!(!may_publish(&of(Publishers::Subscribers), "c", asker("ann")));
        assert!(may_publish(&of(Publishers::Clients), "c", asker("")));
        assert!(!may_publish(&of(Publishers::Clients), "c#42", asker("7")));
        assert!(may_publish(&of(Publishers::Clients), "c#42", Asker { is_subscribed: true, ..asker("42") }));
        assert!(may_publish(&of(Publishers::Nobody), "c", Asker { insecure: true, ..asker("") }));
    }
}
