;; Answers with one manifest, called by the stage and with the migration's configuration as its body.
(func (export "resource-broker:plugin/migration-template@0.2.0#render") (param $args i32) (result i32)
  (call $drop (i32.load offset=120 (local.get $args)))
  (call $drop (i32.load offset=124 (local.get $args)))
  (i64.store (i32.const 1024) (i64.load offset=128 (local.get $args)))
  (i64.store (i32.const 1032) (i64.load offset=16 (local.get $args)))
  (i32.store (i32.const 20) (i32.const 1024))
  (i32.store (i32.const 24) (i32.const 1))
  (i32.const 16))
