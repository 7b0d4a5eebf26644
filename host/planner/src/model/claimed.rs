//! What copies at a provider have to do with a related resource there.

use crate::model::key::Target;

/// What copies at a provider have to do with a related resource there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Why other copies there are not known, and whether that lasts.
    pub unread: Option<(String, bool)>,
    /// Copies of other consumers, or of other namespaces of this one, that declare it as well.
    pub rivals: Vec<Target>,
    /// The copy that owns it: by an owner reference, or by its name.
    pub owner: Owner,
}

/// To whom a related resource belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// To no copy.
    #[default]
    Nobody,
    /// To the copy that declares it, or another one of the same namespace of the same consumer.
    This,
    /// To this copy, of another consumer or another namespace.
    Other(Target),
}
