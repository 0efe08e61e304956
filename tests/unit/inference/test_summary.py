# Copyright (c) mmdckd contributors. All rights reserved.
from mmdckd.inference.image_files import label_of
from mmdckd.inference.summary import Prediction, summarize, write_csv


def image(label, prediction, score=0.9, second=0.1, path='x.png'):
    other = 'dog' if prediction == 'cat' else 'cat'
    return Prediction(path, [(prediction, score), (other, second)], label)


def test_the_label_comes_before_the_prediction_that_it_was_taken_for():
    images = [image('cat', 'dog')] * 3 + [image('dog', 'cat'), image('dog', 'dog')]
    lines = summarize([*images, image(None, 'cat')])
    start = lines.index('accuracy 20.00%: 1 of 5 images have the class of their folder')
    assert lines[start + 1 : start + 3] == [
        '  3 of cat predicted as dog',
        '  1 of dog predicted as cat',
    ]


def test_the_images_in_most_doubt_come_first():
    sure, half, even = (
        image(None, 'cat', 0.5, second, f'{second}.png') for second in (0.2, 0.25, 0.5)
    )
    *_, count, first, second = summarize([sure, half, even])
    assert count.startswith('unsure of 2 images')
    assert first == '  0.5.png: cat 50.0%, dog 50.0%'
    assert second == '  0.25.png: cat 50.0%, dog 25.0%'


def test_of_many_images_the_first_are_listed():
    lines = summarize([image(f'{i}', 'cat', 0.0, 0.0) for i in range(12)])
    start = [line.split(' ')[0] for line in lines].index('accuracy')
    assert len(lines[start + 1 :]) == 10 + 1 + 10
    # Of an image of no class, a student of several labels is not sure.
    assert lines[start + 11].startswith('unsure of 12 images')


def test_the_name_of_a_file_need_not_be_text(tmp_path):
    path = tmp_path / 'a.csv'
    write_csv([image('dog', 'cat', path='m\udce4h.png')], str(path))
    assert path.read_bytes().splitlines() == [
        b'path,label,class,probability,class_2,probability_2',
        b'm\xe4h.png,dog,cat,0.900000,dog,0.100000',
    ]


def test_of_many_classes_the_most_frequent_are_listed():
    images = [image(None, f'{i:02}') for i in range(23) for _ in range(i + 1)]
    head, *lines = summarize(images)
    assert head.split() == ['class', 'images', 'share']
    assert lines[0].split() == ['22', '23', f'{23 / len(images):.1%}']
    assert lines[19].split()[:2] == ['03', '4'] and lines[20] == 'and 3 more classes'


def test_the_outermost_folder_of_a_class_gives_the_label():
    classes = ['cat', 'dog']
    assert label_of('in/a/dog/cat/0.png', 'in', classes) == 1
    assert label_of('in/cat/0.png', 'in', classes) == 0
    # The searched folder itself and the file do not count.
    assert label_of('dog/cat.png', 'dog', classes) is None
