;; What every guest imports: $drop gives a document back, $text looks a text up in one, $log logs.
(import "resource-broker:plugin/documents@0.2.0" "[resource-drop]document" (func $drop (param i32)))
(import "resource-broker:plugin/documents@0.2.0" "[method]document.text"
  (func $text (param $document i32) (param $path i32) (param $length i32) (param $answer i32)))
(import "resource-broker:plugin/host@0.2.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
