;; Answers that it waits if nothing is deployed, and else that it failed; the stage says why.
(func (export "resource-broker:plugin/migration-template@0.2.0#assess") (param $args i32) (result i32)
  (call $drop (i32.load offset=120 (local.get $args)))
  (call $drop (i32.load offset=124 (local.get $args)))
  (i32.store8 (i32.const 20) (select (i32.const 3) (i32.const 0) (i32.load offset=140 (local.get $args))))
  (i64.store (i32.const 24) (i64.load offset=128 (local.get $args)))
  (i32.const 16))
