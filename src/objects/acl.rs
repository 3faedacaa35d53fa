//! Access control lists (`aclitem[]`): the difference between what an object has and what it would
//! have when newly created, as GRANT and REVOKE.
