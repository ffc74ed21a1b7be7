//! The keys of one virtual router.

use core::fmt;

use super::{HmacError, Key, KeyId};

/// The keys of one virtual router: all of them verify, one of them, the active one, signs. There is always one.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    active: (KeyId, Key),
    others: [Option<(KeyId, Key)>; Keys::MAX - 1],
}

impl Keys {
    /// Most keys that one virtual router holds at a time. A change of keys needs two.
    pub const MAX: usize = 8;

    /// This key, which is the active one.
    pub const fn new(id: KeyId, key: Key) -> Self {
        Self { active: (id, key), others: [const { None }; Self::MAX - 1] }
    }

    /// With one key more, which verifies: the first step of a change of keys, on every router before the second one.
    ///
    /// # Errors
    /// [`HmacError::DuplicateKey`] or [`HmacError::TooManyKeys`].
    pub fn with(mut self, id: KeyId, key: Key) -> Result<Self, HmacError> {
        if self.get(id).is_some() {
            return Err(HmacError::DuplicateKey(id));
        }
        let place = self.others.iter_mut().find(|place| place.is_none()).ok_or(HmacError::TooManyKeys(id))?;
        *place = Some((id, key));
        Ok(self)
    }

    /// With this key as the active one: the second step.
    ///
    /// # Errors
    /// [`HmacError::NoSuchKey`].
    pub fn activate(mut self, id: KeyId) -> Result<Self, HmacError> {
        if self.active.0 != id {
            let mut others = self.others.iter_mut().flatten();
            let other = others.find(|(other, _)| *other == id).ok_or(HmacError::NoSuchKey(id))?;
            core::mem::swap(&mut self.active, other);
        }
        Ok(self)
    }

    /// Without this key: the third step, once every router signs with another.
    ///
    /// # Errors
    /// [`HmacError::ActiveKey`] or [`HmacError::NoSuchKey`].
    pub fn without(mut self, id: KeyId) -> Result<Self, HmacError> {
        if self.active.0 == id {
            return Err(HmacError::ActiveKey(id));
        }
        let is_it = |place: &&mut Option<(KeyId, Key)>| place.as_ref().is_some_and(|(other, _)| *other == id);
        *self.others.iter_mut().find(is_it).ok_or(HmacError::NoSuchKey(id))? = None;
        Ok(self)
    }

    /// The key of this id.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.of_octet(id.get())
    }

    /// The key that signs.
    pub const fn active(&self) -> (KeyId, &Key) {
        (self.active.0, &self.active.1)
    }

    /// The ids of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.iter().map(|(id, _)| *id)
    }

    /// The key of the id that this octet of a packet is.
    pub(super) fn of_octet(&self, octet: u8) -> Option<&Key> {
        self.iter().find(|(id, _)| id.get() == octet).map(|(_, key)| key)
    }

    fn iter(&self) -> impl Iterator<Item = &(KeyId, Key)> + '_ {
        core::iter::once(&self.active).chain(self.others.iter().flatten())
    }
}

/// The ids alone.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Ids<'k>(&'k Keys);
        impl fmt::Debug for Ids<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.0.ids().map(KeyId::get)).finish()
            }
        }
        f.debug_struct("Keys").field("active", &self.active.0.get()).field("ids", &Ids(self)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u8) -> KeyId {
        KeyId::new(value).unwrap()
    }

    fn key(octet: u8) -> Key {
        Key::new(&[octet; 32]).unwrap()
    }

    fn ids(keys: &Keys) -> Vec<u8> {
        keys.ids().map(KeyId::get).collect()
    }

    #[test]
    fn a_change_of_keys_has_three_steps() {
        let keys = Keys::new(id(1), key(1)).with(id(2), key(2)).unwrap();
        assert_eq!((keys.active(), ids(&keys)), ((id(1), &key(1)), vec![1, 2]));
        let keys = keys.activate(id(2)).unwrap();
        assert_eq!((keys.active(), ids(&keys)), ((id(2), &key(2)), vec![2, 1]));
        assert_eq!(keys.get(id(1)), Some(&key(1)));
        assert_eq!(keys.clone().activate(id(2)), Ok(keys.clone()));
        let keys = keys.without(id(1)).unwrap();
        assert_eq!(ids(&keys), [2]);
        assert_eq!(keys.get(id(1)), None);
        // Its place is free again.
        assert_eq!(ids(&keys.with(id(3), key(3)).unwrap()), [2, 3]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_way_out() {
        let keys = Keys::new(id(1), key(1)).with(id(2), key(2)).unwrap();
        assert_eq!(keys.clone().with(id(1), key(3)), Err(HmacError::DuplicateKey(id(1))));
        assert_eq!(keys.clone().with(id(2), key(2)), Err(HmacError::DuplicateKey(id(2))));
        assert_eq!(keys.clone().activate(id(9)), Err(HmacError::NoSuchKey(id(9))));
        assert_eq!(keys.clone().without(id(9)), Err(HmacError::NoSuchKey(id(9))));
        assert_eq!(keys.without(id(1)), Err(HmacError::ActiveKey(id(1))));
        assert_eq!(
            HmacError::ActiveKey(id(1)).to_string(),
            "key id 1 is the active one: make another key active before it is removed"
        );
    }

    #[test]
    fn there_is_room_for_as_many_keys_as_it_says() {
        let mut keys = Keys::new(id(1), key(1));
        for n in 2..=8 {
            keys = keys.with(id(n), key(n)).unwrap();
        }
        assert_eq!(ids(&keys).len(), Keys::MAX);
        let error = keys.with(id(9), key(9)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no room for key id 9, 8 keys are there: remove those that no router signs with any more"
        );
    }

    #[test]
    fn debug_shows_the_ids_alone() {
        let keys = Keys::new(id(7), key(3)).with(id(2), key(2)).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys { active: 7, ids: [7, 2] }");
    }
}
